/*
 * What the C face costs: c FOLDER MIB
 *
 * Replicates a disk of MIB MiB to fresh local targets in FOLDER, once pushed and once read by a callback, and reads the
 * events of both runs. Every MiB of the disk is the same buffer but for its first eight bytes, which are its number.
 * Prints a line of JSON for each way.
 */
#include <migrate.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pthread.h>

#define MIB ((size_t)1 << 20)

static unsigned char pattern[1 << 20];

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void fail(const char *what, migrate_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err != NULL ? migrate_error_json(err) : "no error");
    exit(1);
}

/* Buffers that are ready but for their number. */
enum { BUFFERS = 64 };

static struct pool {
    pthread_mutex_t lock;
    pthread_cond_t back;
    void *free[BUFFERS];
    size_t count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .back = PTHREAD_COND_INITIALIZER};

static void put(void *buffer, void *user)
{
    (void)user;
    pthread_mutex_lock(&pool.lock);
    pool.free[pool.count++] = buffer;
    pthread_cond_signal(&pool.back);
    pthread_mutex_unlock(&pool.lock);
}

static unsigned char *get(void)
{
    pthread_mutex_lock(&pool.lock);
    while (pool.count == 0) {
        pthread_cond_wait(&pool.back, &pool.lock);
    }
    void *buffer = pool.free[--pool.count];
    pthread_mutex_unlock(&pool.lock);
    return buffer;
}

static void number(unsigned char *buffer, uint64_t index)
{
    for (int byte = 0; byte < 8; byte++) {
        buffer[byte] = (unsigned char)(index >> (8 * byte));
    }
}

static int read_pattern(void *user, uint64_t offset, void *buffer, size_t len, char *problem, size_t problem_size)
{
    (void)user, (void)problem, (void)problem_size;
    unsigned char *to = buffer;
    while (len > 0) {
        size_t in = (size_t)(offset % MIB), part = MIB - in < len ? MIB - in : len;
        unsigned char head[8];
        memcpy(to, pattern + in, part);
        number(head, offset / MIB);
        for (size_t byte = in; byte < 8 && byte < in + part; byte++) {
            to[byte - in] = head[byte];
        }
        to += part, offset += part, len -= part;
    }
    return 0;
}

/* One run; whether it is pushed or served. */
static double run(migrate_engine *engine, const char *folder, size_t mib, int pushed)
{
    migrate_error *err = NULL;
    migrate_target *target = NULL;
    migrate_source *source = NULL;
    migrate_replica *replica = NULL;
    migrate_cycle *cycle = NULL;
    migrate_point *point = NULL;
    char path[1024];
    snprintf(path, sizeof path, "%s/c-%s.vhd", folder, pushed ? "push" : "serve");
    migrate_disk disk = {.struct_size = sizeof disk, .size_bytes = mib * MIB, .point = "bench"};
    migrate_reader reader = {.struct_size = sizeof reader, .read = read_pattern};
    if (migrate_target_local(path, &target, &err) ||
        (pushed ? migrate_source_pushed(&disk, &source, &err) : migrate_source_served(&disk, &reader, &source, &err)) ||
        migrate_replica_open(engine, target, source, -1, &replica, &err)) {
        fail("open", err);
    }
    double began = now();
    if (!pushed) {
        if (migrate_replica_replicate(replica, source, NULL, -1, &point, &err)) {
            fail("replicate", err);
        }
    } else {
        migrate_extent want;
        migrate_status status;
        if (migrate_replica_begin(replica, source, NULL, -1, &cycle, &err)) {
            fail("begin", err);
        }
        while ((status = migrate_cycle_next(cycle, &want, -1, &err)) == MIGRATE_OK) {
            if (want.offset % MIB != 0 || want.len > MIB) {
                fail("an extent is not within one MiB", NULL);
            }
            unsigned char *buffer = get();
            number(buffer, want.offset / MIB);
            while ((status = migrate_cycle_push(cycle, want.offset, buffer, (size_t)want.len, put, NULL, &err)) ==
                   MIGRATE_WOULD_BLOCK) {
                migrate_cycle_wait(cycle, -1, NULL);
            }
            if (status != MIGRATE_OK) {
                fail("push", err);
            }
        }
        if (status != MIGRATE_DONE || migrate_cycle_seal(cycle, -1, &point, &err)) {
            fail("seal", err);
        }
    }
    double seconds = now() - began;
    if (migrate_point_count(point, "sent") != mib * MIB) {
        fail("not everything was sent", NULL);
    }
    migrate_point_free(&point);
    migrate_cycle_free(&cycle);
    migrate_replica_close(replica, -1, NULL);
    migrate_replica_free(&replica);
    migrate_source_free(&source);
    migrate_target_free(&target);
    printf("{\"way\":\"%s\",\"mib\":%zu,\"seconds\":%.6f}\n", pushed ? "push" : "serve", mib, seconds);
    fflush(stdout);
    return seconds;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: c FOLDER MIB\n");
        return 2;
    }
    size_t mib = (size_t)strtoull(argv[2], NULL, 10);
    for (uint64_t at = 0; at < MIB; at++) {
        pattern[at] = (unsigned char)((at * 2654435761u >> 13) & 0xff);
    }
    for (size_t at = 0; at < BUFFERS; at++) {
        void *buffer = malloc(MIB);
        if (buffer == NULL) {
            return 1;
        }
        memcpy(buffer, pattern, MIB);
        put(buffer, NULL);
    }
    char state[1024];
    snprintf(state, sizeof state, "%s/c-state", argv[1]);
    migrate_error *err = NULL;
    migrate_engine *engine = NULL;
    migrate_events *events = NULL;
    migrate_config config = {.struct_size = sizeof config, .state_dir = state};
    if (migrate_engine_open(&config, &engine, &err) || migrate_events_open(engine, 0, &events, &err)) {
        fail("engine", err);
    }
    run(engine, argv[1], mib, 1);
    run(engine, argv[1], mib, 0);

    /* C has no objects of its own for an event: what a program gets is its text. */
    size_t count = 0;
    char *event = NULL;
    double began = now();
    while (migrate_events_next(events, 0, &event, &err) == MIGRATE_OK) {
        migrate_text_free(&event);
        count++;
    }
    printf("{\"way\":\"event\",\"count\":%zu,\"microseconds_each\":%.3f}\n", count,
           count == 0 ? 0 : (now() - began) * 1e6 / (double)count);
    migrate_events_free(&events);
    migrate_engine_close(engine, 10000, NULL);
    migrate_engine_free(&engine);
    migrate_error_free(&err);
    return 0;
}
