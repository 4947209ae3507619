/*
 * A backup product's own loop around libmigrate: its snapshots, its changed block tracking, its buffer pool, its log.
 * Here they are small stand-ins (a disk in memory), so that this compiles and runs; what calls migrate_* is what a
 * product would write.
 *
 *     vendor FOLDER
 *
 * ships a disk to FOLDER/web01.vhd twice: everything, then what has changed. With a page blob instead of a file, only
 * open_target differs.
 */
#include <migrate.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- the product: all ours ---- */

enum { MIB = 1 << 20, DISK_BYTES = 24 * MIB, POOL = 8 };

typedef struct our_disk {
    unsigned char *bytes;
    const char *snapshot, *last_change_id, *snap_change_id; /* last_change_id: NULL the first time */
    const migrate_extent *changed;
    size_t n_changed;
} our_disk;

/* Buffers are given out and come back; who finds none waits. */
static struct our_pool {
    pthread_mutex_t lock;
    pthread_cond_t back;
    void *free[POOL];
    size_t n_free;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .back = PTHREAD_COND_INITIALIZER};

static void *our_pool_get(void)
{
    pthread_mutex_lock(&pool.lock);
    while (pool.n_free == 0) {
        pthread_cond_wait(&pool.back, &pool.lock);
    }
    void *buffer = pool.free[--pool.n_free];
    pthread_mutex_unlock(&pool.lock);
    return buffer;
}

/* Runs on a thread of the library. */
static void our_pool_put(void *buffer, void *user)
{
    (void)user;
    pthread_mutex_lock(&pool.lock);
    pool.free[pool.n_free++] = buffer;
    pthread_cond_signal(&pool.back);
    pthread_mutex_unlock(&pool.lock);
}

static void our_log(migrate_log_level level, const char *target, const char *message, void *user)
{
    fprintf((FILE *)user, "[%d] %s: %s\n", (int)level, target, message);
}

static int our_error_report(const char *vm, migrate_error **err)
{
    fprintf(stderr, "%s: %s: %s\n  %s%s\n", vm, migrate_error_code(*err), migrate_error_message(*err),
            migrate_error_remedy(*err), migrate_error_retryable(*err) ? " (it may work later as it is)" : "");
    migrate_error_free(err);
    return 1;
}

/* ---- what is new: one disk, one pass ---- */

static migrate_status open_target(const char *folder, migrate_target **target, migrate_error **err)
{
    /* To Azure:
     *     migrate_blob blob = {.struct_size = sizeof blob, .url = url, .sas = sas, .proxy = our_proxy(), .ca_file = our_ca()};
     *     return migrate_target_blob(&blob, NULL, target, err);
     */
    char path[1024];
    snprintf(path, sizeof path, "%s/web01.vhd", folder);
    return migrate_target_local(path, target, err);
}

static int ship_disk(migrate_engine *engine, const char *folder, const our_disk *d)
{
    migrate_error *err = NULL;
    migrate_target *target = NULL;
    migrate_source *source = NULL;
    migrate_replica *replica = NULL;
    migrate_cycle *cycle = NULL;
    migrate_point *point = NULL;
    migrate_status status;

    /* Which disk, which moment of it: after a crash an interrupted cycle goes on only at the same moment. */
    migrate_disk disk = {.struct_size = sizeof disk, .size_bytes = DISK_BYTES, .identity = "web01/disk0", .point = d->snapshot};
    /* A change list is from the moment of the last recovery point; one that does not fit is not used, never believed. */
    migrate_cycle_settings what = {.struct_size = sizeof what};
    if (d->last_change_id != NULL) {
        what.changes_base = d->last_change_id;
        what.changes_end = d->snap_change_id;
        what.changes = d->changed;
        what.change_count = d->n_changed;
    } else {
        what.change_id = d->snap_change_id;
    }

    if (open_target(folder, &target, &err) || migrate_source_pushed(&disk, &source, &err) ||
        migrate_replica_open(engine, target, source, -1, &replica, &err) ||
        migrate_replica_begin(replica, source, &what, -1, &cycle, &err)) {
        goto out;
    }
    for (migrate_extent want; (status = migrate_cycle_next(cycle, &want, -1, &err)) == MIGRATE_OK;) {
        void *buffer = our_pool_get();
        memcpy(buffer, d->bytes + want.offset, (size_t)want.len); /* our reader */
        while ((status = migrate_cycle_push(cycle, want.offset, buffer, (size_t)want.len, our_pool_put, NULL, &err)) ==
               MIGRATE_WOULD_BLOCK) {
            migrate_cycle_wait(cycle, 1000, NULL); /* back-pressure: the hard memory limit */
        }
        if (status != MIGRATE_OK) {
            our_pool_put(buffer, NULL); /* it was not taken, so it is still ours */
            goto out;
        }
    }
    if (status == MIGRATE_DONE && migrate_cycle_seal(cycle, -1, &point, &err) == MIGRATE_OK) {
        /* Durable from here on: what our catalogue keeps. */
        printf("recovery point %u (%s), change id %s: %llu bytes sent, root %.16s...\n", (unsigned)migrate_point_cycle(point),
               migrate_point_kind(point), migrate_point_change_id(point),
               (unsigned long long)migrate_point_count(point, "sent"), migrate_point_root(point));
    }
out:
    migrate_point_free(&point);
    migrate_cycle_free(&cycle); /* without a seal: stopped, and what has settled stays */
    if (replica != NULL && err == NULL) {
        migrate_replica_close(replica, -1, &err);
    }
    migrate_replica_free(&replica);
    migrate_source_free(&source);
    migrate_target_free(&target);
    return err != NULL ? our_error_report("web01", &err) : 0;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: vendor FOLDER\n");
        return 2;
    }
    char state[1024];
    snprintf(state, sizeof state, "%s/state", argv[1]);
    our_disk disk = {.bytes = malloc(DISK_BYTES), .snapshot = "snapshot-1", .snap_change_id = "52 4a/1"};
    if (disk.bytes == NULL) {
        return 1;
    }
    for (size_t at = 0; at < DISK_BYTES; at++) {
        disk.bytes[at] = (unsigned char)(at % 251);
    }
    for (size_t at = 0; at < POOL; at++) {
        pool.free[pool.n_free++] = malloc(4 * MIB); /* no extent is longer than run_bytes, or a block */
    }

    migrate_error *err = NULL;
    migrate_engine *engine = NULL;
    migrate_config config = {.struct_size = sizeof config, .state_dir = state, .memory_limit = 64 << 20, .threads = 2};
    int failed;
    if (migrate_log_set(MIGRATE_LOG_INFO, our_log, stderr, &err) || migrate_engine_open(&config, &engine, &err)) {
        failed = our_error_report("engine", &err);
    } else {
        failed = ship_disk(engine, argv[1], &disk);

        /* The next night: a block has changed, and our tracking says which. */
        static const migrate_extent changed[] = {{.offset = 5 * MIB, .len = 65536}};
        memset(disk.bytes + 5 * MIB, 0xab, 65536);
        disk.snapshot = "snapshot-2";
        disk.last_change_id = disk.snap_change_id;
        disk.snap_change_id = "52 4a/2";
        disk.changed = changed;
        disk.n_changed = 1;
        failed = failed || ship_disk(engine, argv[1], &disk);

        /* Only after this is every buffer back for sure. */
        if (migrate_engine_close(engine, 10000, &err) != MIGRATE_OK) {
            failed = 1;
        }
    }
    migrate_engine_free(&engine);
    migrate_error_free(&err);
    migrate_log_set(MIGRATE_LOG_INFO, NULL, NULL, NULL);
    while (pool.n_free > 0) {
        free(pool.free[--pool.n_free]);
    }
    free(disk.bytes);
    return failed;
}
