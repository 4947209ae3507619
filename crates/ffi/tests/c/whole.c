/* Whole cycles in C11: pushed, read by callbacks, opened by the library; waited for in each way that there is. */
#include "check.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

typedef struct world {
    migrate_engine *engine;
    migrate_target *target;
    migrate_source *source;
    migrate_replica *replica;
    char replica_path[512];
} world;

static void world_close(world *w)
{
    migrate_error *err = NULL;
    if (w->replica != NULL) {
        OK(migrate_replica_close(w->replica, 10000, &err));
    }
    migrate_replica_free(&w->replica);
    migrate_source_free(&w->source);
    migrate_target_free(&w->target);
    OK(migrate_engine_close(w->engine, 10000, &err));
    migrate_engine_free(&w->engine);
}

/* An engine with a target; the test brings the source and opens the replica. */
static world world_open(const char *test, migrate_config config)
{
    world w = {0};
    migrate_error *err = NULL;
    config.state_dir = path_in(test, "state");
    snprintf(w.replica_path, sizeof w.replica_path, "%s", path_in(test, "replica.vhd"));
    OK(migrate_engine_open(&config, &w.engine, &err));
    OK(migrate_target_local(w.replica_path, &w.target, &err));
    return w;
}

static void world_push_source(world *w, size_t size)
{
    migrate_error *err = NULL;
    migrate_disk disk = new_disk(size, "snapshot 1");
    OK(migrate_source_pushed(&disk, &w->source, &err));
    OK(migrate_replica_open(w->engine, w->target, w->source, 60000, &w->replica, &err));
}

static void count_one(void *buffer, void *user)
{
    (void)buffer;
    atomic_fetch_add((atomic_size_t *)user, 1);
}

static void a_disk_is_pushed_and_each_buffer_comes_back_once(void)
{
    migrate_error *err = NULL;
    size_t size = 5 * MIB + 4096, given = 0;
    unsigned char *disk = sample(size);
    atomic_size_t back = 0;
    world w = world_open(__func__, new_config(NULL));
    world_push_source(&w, size);

    migrate_cycle *cycle = NULL;
    migrate_cycle_settings settings = {.struct_size = sizeof settings, .change_id = "52 de/7"};
    OK(migrate_replica_begin(w.replica, w.source, &settings, 60000, &cycle, &err));
    migrate_extent want;
    migrate_status status;
    while ((status = migrate_cycle_next(cycle, &want, -1, &err)) == MIGRATE_OK) {
        while ((status = migrate_cycle_push(cycle, want.offset, disk + want.offset, (size_t)want.len, count_one, &back,
                                            &err)) == MIGRATE_WOULD_BLOCK) {
            migrate_cycle_wait(cycle, 1000, &err);
        }
        CHECK(status == MIGRATE_OK);
        given++;
    }
    CHECK(status == MIGRATE_DONE && err == NULL);
    migrate_point *point = NULL;
    OK(migrate_cycle_seal(cycle, -1, &point, &err));
    CHECK(migrate_point_cycle(point) == 1);
    CHECK(strcmp(migrate_point_kind(point), "initial") == 0);
    CHECK(strcmp(migrate_point_change_id(point), "52 de/7") == 0);
    CHECK(strlen(migrate_point_root(point)) == 64);
    CHECK(strchr(migrate_point_sealed_at(point), 'T') != NULL);
    CHECK(migrate_point_disk_bytes(point) == 6 * MIB);
    CHECK(migrate_point_count(point, "sent") == size);
    CHECK(migrate_point_count(point, "no such count") == 0);
    CHECK(strstr(migrate_point_json(point), "\"cycle\":1") != NULL);
    CHECK(begins_with(w.replica_path, disk, size));
    migrate_point_free(&point);
    migrate_cycle_free(&cycle);
    world_close(&w);
    CHECK(given >= 6 && atomic_load(&back) == given);
    free(disk);
}

static void a_push_beyond_the_memory_limit_would_block_and_leaves_the_buffer_alone(void)
{
    migrate_error *err = NULL;
    size_t size = 8 * MIB, given = 0, refused = 0;
    unsigned char *disk = sample(size);
    atomic_size_t back = 0;
    migrate_config config = new_config(NULL);
    config.memory_limit = 4 * MIB;
    config.bytes_per_second = MIB;
    world w = world_open(__func__, config);
    world_push_source(&w, size);
    migrate_cycle *cycle = NULL;
    OK(migrate_replica_begin(w.replica, w.source, NULL, 60000, &cycle, &err));
    migrate_extent want;
    while (migrate_cycle_next(cycle, &want, -1, &err) == MIGRATE_OK) {
        while (migrate_cycle_push(cycle, want.offset, disk + want.offset, (size_t)want.len, count_one, &back, &err) ==
               MIGRATE_WOULD_BLOCK) {
            refused++;
            CHECK(err == NULL && atomic_load(&back) <= given);
            CHECK(refused > 1 || migrate_cycle_wait(cycle, 0, &err) == MIGRATE_NOT_YET);
            OK(migrate_engine_set_bytes_per_second(w.engine, 0, &err));
            OK(migrate_cycle_wait(cycle, -1, &err));
        }
        given++;
    }
    migrate_point *point = NULL;
    OK(migrate_cycle_seal(cycle, -1, &point, &err));
    migrate_point_free(&point);
    migrate_cycle_free(&cycle);
    CHECK(begins_with(w.replica_path, disk, size));
    world_close(&w);
    CHECK(refused > 0 && atomic_load(&back) == given);
    free(disk);
}

static void buffers_of_a_cycle_that_is_thrown_away_come_back_too(void)
{
    migrate_error *err = NULL;
    size_t size = 4 * MIB, given = 0;
    unsigned char *disk = sample(size);
    atomic_size_t back = 0;
    migrate_config config = new_config(NULL);
    config.bytes_per_second = MIB / 4;
    world w = world_open(__func__, config);
    world_push_source(&w, size);
    migrate_cycle *cycle = NULL;
    OK(migrate_replica_begin(w.replica, w.source, NULL, 60000, &cycle, &err));
    migrate_extent want;
    while (migrate_cycle_next(cycle, &want, -1, &err) == MIGRATE_OK) {
        OK(migrate_cycle_push(cycle, want.offset, disk + want.offset, (size_t)want.len, count_one, &back, &err));
        given++;
    }
    migrate_cycle_free(&cycle);
    OK(migrate_engine_close(w.engine, 10000, &err));
    CHECK(given == 4 && atomic_load(&back) == given);
    migrate_replica_free(&w.replica);
    migrate_source_free(&w.source);
    migrate_target_free(&w.target);
    migrate_engine_free(&w.engine);
    free(disk);
}

typedef struct served {
    const unsigned char *bytes;
    atomic_size_t reads, ended;
    uint64_t fails_at;
} served;

static int read_sample(void *user, uint64_t offset, void *buffer, size_t len, char *problem, size_t problem_size)
{
    served *s = user;
    atomic_fetch_add(&s->reads, 1);
    if (s->fails_at != 0 && offset + len > s->fails_at) {
        snprintf(problem, problem_size, "the snapshot is gone");
        return -5;
    }
    memcpy(buffer, s->bytes + offset, len);
    return 0;
}

static void end_served(void *user)
{
    atomic_fetch_add(&((served *)user)->ended, 1);
}

/* Its threads end by themselves, after the last that uses the source. */
static int ends_within_seconds(served *s, int seconds)
{
    for (int tries = 0; tries < seconds * 100 && atomic_load(&s->ended) == 0; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    return atomic_load(&s->ended) == 1;
}

static void a_disk_that_callbacks_read_is_replicated_and_verified(void)
{
    migrate_error *err = NULL;
    size_t size = 5 * MIB;
    unsigned char *disk = sample(size);
    memset(disk, 0, MIB);
    served s = {.bytes = disk};
    world w = world_open(__func__, new_config(NULL));
    migrate_extent zero = {.offset = 0, .len = MIB};
    migrate_disk settings = new_disk(size, "1");
    settings.zero = &zero;
    settings.zero_count = 1;
    settings.max_in_flight = 2;
    migrate_reader reader = {.struct_size = sizeof reader, .user = &s, .read = read_sample, .ended = end_served};
    OK(migrate_source_served(&settings, &reader, &w.source, &err));
    CHECK(migrate_source_size_bytes(w.source) == size);
    char *json = NULL;
    OK(migrate_source_json(w.source, &json, &err));
    CHECK(json != NULL && strstr(json, "\"point\":\"1\"") != NULL);
    migrate_text_free(&json);
    OK(migrate_replica_open(w.engine, w.target, w.source, 60000, &w.replica, &err));
    migrate_point *point = NULL;
    OK(migrate_replica_replicate(w.replica, w.source, NULL, 60000, &point, &err));
    CHECK(migrate_point_count(point, "hole") == MIB);
    migrate_point_free(&point);
    migrate_report *report = NULL;
    OK(migrate_replica_verify(w.replica, w.source, NULL, 60000, &report, &err));
    CHECK(migrate_report_equal(report) && migrate_report_mismatched(report) == 0 && migrate_report_compared(report) > 0);
    CHECK(strstr(migrate_report_json(report), "\"equal\":true") != NULL);
    migrate_report_free(&report);
    CHECK(begins_with(w.replica_path, disk, size) && atomic_load(&s.reads) >= 4);
    world_close(&w);
    CHECK(ends_within_seconds(&s, 10));
    free(disk);
}

static void what_a_read_callback_says_is_the_error(void)
{
    migrate_error *err = NULL;
    size_t size = 5 * MIB;
    unsigned char *disk = sample(size);
    served s = {.bytes = disk, .fails_at = 3 * MIB};
    world w = world_open(__func__, new_config(NULL));
    migrate_disk settings = new_disk(size, "1");
    migrate_reader reader = {.struct_size = sizeof reader, .user = &s, .read = read_sample, .ended = end_served};
    OK(migrate_source_served(&settings, &reader, &w.source, &err));
    OK(migrate_replica_open(w.engine, w.target, w.source, 60000, &w.replica, &err));
    migrate_point *point = (migrate_point *)&s;
    CHECK(migrate_replica_replicate(w.replica, w.source, NULL, 60000, &point, &err) == MIGRATE_ERROR && point == NULL);
    CHECK(strcmp(migrate_error_code(err), "source.custom") == 0);
    CHECK(strstr(migrate_error_message(err), "the snapshot is gone") != NULL);
    CHECK(migrate_error_kind_of(err) == MIGRATE_KIND_FATAL && !migrate_error_retryable(err));
    CHECK(strlen(migrate_error_remedy(err)) > 0 && strstr(migrate_error_json(err), "\"code\":\"source.custom\"") != NULL);
    CHECK(migrate_error_cause(err, migrate_error_cause_count(err)) == NULL);
    migrate_error_free(&err);
    world_close(&w);
    CHECK(ends_within_seconds(&s, 10));
    free(disk);
}

/* The program's own loop: jobs and events by file descriptor, never a call that waits. */
static void a_poll_loop_drives_a_run_and_sees_its_events(void)
{
    migrate_error *err = NULL;
    unsigned char *disk = sample(3 * MIB);
    world w = world_open(__func__, new_config(NULL));
    write_file(PATH("disk.raw"), disk, 3 * MIB);
    char settings[600];
    snprintf(settings, sizeof settings, "{\"path\": \"%s\", \"format\": \"raw\"}", PATH("disk.raw"));
    migrate_job *job = NULL;
    migrate_events *events = NULL;
    migrate_point *point = NULL, *again = NULL;
    struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
    OK(migrate_events_open(w.engine, 0, &events, &err));
    OK(migrate_events_fd(events, &fds[1].fd, &err));
    OK(migrate_source_open_start(w.engine, settings, &job, &err));
    int sealed = 0, opened = 0;
    for (int step = 0; step < 3 && !wrong;) {
        OK(migrate_job_fd(job, &fds[0].fd, &err));
        CHECK(poll(fds, 2, 60000) > 0);
        if (fds[1].revents & POLLIN) {
            char *event = NULL;
            while (migrate_events_next(events, 0, &event, &err) == MIGRATE_OK) {
                opened += strstr(event, "\"type\":\"opened\"") != NULL;
                sealed += strstr(event, "\"type\":\"sealed\"") != NULL;
                migrate_text_free(&event);
            }
        }
        if (!(fds[0].revents & POLLIN)) {
            continue;
        }
        CHECK(migrate_job_poll(job, &err) == MIGRATE_OK);
        switch (step++) {
        case 0:
            OK(migrate_job_source(job, &w.source, &err));
            migrate_job_free(&job);
            OK(migrate_replica_open_start(w.engine, w.target, w.source, &job, &err));
            break;
        case 1:
            OK(migrate_job_replica(job, &w.replica, &err));
            migrate_job_free(&job);
            OK(migrate_replica_replicate_start(w.replica, w.source, NULL, &job, &err));
            break;
        default:
            OK(migrate_job_point(job, &point, &err));
            FAILS("call.closed", migrate_job_point(job, &again, &err));
            migrate_job_free(&job);
        }
    }
    while (sealed == 0 && !wrong) {
        char *event = NULL;
        OK(migrate_events_next(events, 10000, &event, &err));
        sealed += event != NULL && strstr(event, "\"type\":\"sealed\"") != NULL;
        migrate_text_free(&event);
    }
    CHECK(opened == 1 && sealed == 1 && begins_with(w.replica_path, disk, 3 * MIB));
    migrate_point_free(&point);
    world_close(&w);
    char *event = NULL;
    migrate_status status;
    while ((status = migrate_events_next(events, -1, &event, &err)) == MIGRATE_OK) {
        migrate_text_free(&event);
    }
    CHECK(status == MIGRATE_DONE);
    CHECK(poll(&fds[1], 1, 0) >= 0);
    migrate_events_free(&events);
    free(disk);
}

static void *cancel_soon(void *user)
{
    migrate_error *err = NULL;
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
    OK(migrate_job_cancel(user, &err));
    return NULL;
}

static void a_job_is_cancelled_from_another_thread_and_the_next_run_goes_on(void)
{
    migrate_error *err = NULL;
    size_t size = 20 * MIB;
    unsigned char *disk = sample(size);
    migrate_config config = new_config(NULL);
    config.bytes_per_second = MIB;
    world w = world_open(__func__, config);
    write_file(PATH("disk.raw"), disk, size);
    char settings[600];
    snprintf(settings, sizeof settings, "{\"path\": \"%s\", \"format\": \"raw\"}", PATH("disk.raw"));
    OK(migrate_source_open(w.engine, settings, 60000, &w.source, &err));
    OK(migrate_replica_open(w.engine, w.target, w.source, 60000, &w.replica, &err));
    migrate_job *job = NULL;
    migrate_point *point = NULL;
    OK(migrate_replica_replicate_start(w.replica, w.source, NULL, &job, &err));
    CHECK(migrate_job_point(job, &point, &err) == MIGRATE_NOT_YET && migrate_job_wait(job, 10, &err) == MIGRATE_NOT_YET);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, cancel_soon, job) == 0);
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    OK(migrate_job_wait(job, 60000, &err));
    clock_gettime(CLOCK_MONOTONIC, &to);
    CHECK(to.tv_sec - from.tv_sec <= 3);
    pthread_join(thread, NULL);
    FAILS("cycle.cancelled", migrate_job_point(job, &point, &err));
    migrate_job_free(&job);
    CHECK(migrate_replica_replicate(w.replica, w.source, NULL, 100, &point, &err) == MIGRATE_TIMED_OUT);
    CHECK(err == NULL && point == NULL);
    OK(migrate_engine_set_bytes_per_second(w.engine, 0, &err));
    OK(migrate_replica_replicate(w.replica, w.source, NULL, 60000, &point, &err));
    CHECK(migrate_point_cycle(point) == 1 && begins_with(w.replica_path, disk, size));
    migrate_point_free(&point);
    world_close(&w);
    free(disk);
}

typedef struct heard {
    atomic_int events, lines;
    migrate_engine *engine;
    atomic_int reentered;
} heard;

static void hear_event(const char *event, void *user)
{
    heard *h = user;
    migrate_error *err = NULL;
    atomic_fetch_add(&h->events, strstr(event, "\"type\":") != NULL);
    /* A callback may call what does not wait, and what waits is refused. */
    if (migrate_engine_set_bytes_per_second(h->engine, 0, NULL) == MIGRATE_OK &&
        migrate_engine_close(h->engine, 0, &err) == MIGRATE_ERROR) {
        atomic_fetch_add(&h->reentered, strcmp(migrate_error_code(err), "call.reentered") == 0);
    }
    migrate_error_free(&err);
}

static void hear_line(migrate_log_level level, const char *target, const char *message, void *user)
{
    heard *h = user;
    migrate_error *err = NULL;
    if (level >= MIGRATE_LOG_ERROR && target != NULL && message != NULL &&
        migrate_log_set(MIGRATE_LOG_INFO, NULL, NULL, &err) == MIGRATE_ERROR) {
        atomic_fetch_add(&h->lines, 1);
    }
    migrate_error_free(&err);
}

static void events_and_log_come_by_callback_and_stop_when_they_are_closed(void)
{
    migrate_error *err = NULL;
    unsigned char *disk = sample(2 * MIB);
    heard h = {0};
    FAILS("call.argument", migrate_log_set(9, hear_line, &h, &err));
    OK(migrate_log_set(MIGRATE_LOG_TRACE, hear_line, &h, &err));
    OK(migrate_log_set(MIGRATE_LOG_TRACE, hear_line, &h, &err));
    world w = world_open(__func__, new_config(NULL));
    h.engine = w.engine;
    migrate_events *events = NULL;
    OK(migrate_events_open(w.engine, 0, &events, &err));
    OK(migrate_events_call(events, hear_event, &h, &err));
    FAILS("call.argument", migrate_events_call(events, hear_event, &h, &err));
    served s = {.bytes = disk};
    migrate_disk settings = new_disk(2 * MIB, "1");
    migrate_reader reader = {.struct_size = sizeof reader, .user = &s, .read = read_sample, .ended = end_served};
    OK(migrate_source_served(&settings, &reader, &w.source, &err));
    OK(migrate_replica_open(w.engine, w.target, w.source, 60000, &w.replica, &err));
    migrate_point *point = NULL;
    OK(migrate_replica_replicate(w.replica, w.source, NULL, 60000, &point, &err));
    migrate_point_free(&point);
    for (int tries = 0; tries < 1000 && atomic_load(&h.events) < 3; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    migrate_events_free(&events);
    int events_then = atomic_load(&h.events);
    OK(migrate_log_set(MIGRATE_LOG_ERROR, NULL, NULL, &err));
    int lines_then = atomic_load(&h.lines);
    CHECK(events_then >= 3 && atomic_load(&h.reentered) == events_then && lines_then > 0);
    OK(migrate_replica_replicate(w.replica, w.source, NULL, 60000, &point, &err));
    migrate_point_free(&point);
    CHECK(atomic_load(&h.events) == events_then && atomic_load(&h.lines) == lines_then);
    world_close(&w);
    CHECK(ends_within_seconds(&s, 10));
    free(disk);
}

static void a_change_list_as_an_array_sends_only_what_changed(void)
{
    migrate_error *err = NULL;
    size_t size = 4 * MIB;
    unsigned char *disk = sample(size);
    served s = {.bytes = disk};
    world w = world_open(__func__, new_config(NULL));
    migrate_reader reader = {.struct_size = sizeof reader, .user = &s, .read = read_sample, .ended = end_served};
    migrate_disk first = new_disk(size, "1"), second = new_disk(size, "2");
    migrate_cycle_settings begin = {.struct_size = sizeof begin, .change_id = "id 1"};
    migrate_point *point = NULL;
    OK(migrate_source_served(&first, &reader, &w.source, &err));
    OK(migrate_replica_open(w.engine, w.target, w.source, 60000, &w.replica, &err));
    OK(migrate_replica_replicate(w.replica, w.source, &begin, 60000, &point, &err));
    migrate_point_free(&point);
    migrate_source_free(&w.source);
    CHECK(ends_within_seconds(&s, 10));

    disk[2 * MIB] ^= 1;
    migrate_extent changed = {.offset = 2 * MIB, .len = 4096};
    migrate_cycle_settings delta = {.struct_size = sizeof delta,
                                    .changes_base = "id 1",
                                    .changes_end = "id 2",
                                    .changes = &changed,
                                    .change_count = 1};
    s.ended = 0;
    OK(migrate_source_served(&second, &reader, &w.source, &err));
    OK(migrate_replica_replicate(w.replica, w.source, &delta, 60000, &point, &err));
    CHECK(strcmp(migrate_point_kind(point), "delta") == 0 && strcmp(migrate_point_change_id(point), "id 2") == 0);
    CHECK(migrate_point_count(point, "read") < MIB && migrate_point_count(point, "unlisted") >= 3 * MIB);
    CHECK(begins_with(w.replica_path, disk, size));
    migrate_point_free(&point);
    char *text = NULL;
    OK(migrate_replica_recovery_points(w.replica, 60000, &text, &err));
    CHECK(text != NULL && strstr(text, "id 1") != NULL && strstr(text, "id 2") != NULL);
    migrate_text_free(&text);
    OK(migrate_replica_roll_back(w.replica, 1, 60000, &point, &err));
    CHECK(migrate_point_cycle(point) == 3);
    migrate_point_free(&point);
    OK(migrate_replica_prune(w.replica, "{\"newest\": 1}", 60000, &text, &err));
    CHECK(strcmp(text, "[1,2]") == 0);
    migrate_text_free(&text);
    uint64_t bytes = 0;
    OK(migrate_replica_disk_bytes(w.replica, 60000, &bytes, &err));
    CHECK(bytes == size && strstr(migrate_replica_location(w.replica), "replica.vhd") != NULL);
    world_close(&w);
    CHECK(ends_within_seconds(&s, 10));
    free(disk);
}

static int no_token(void *user, const char *scope, char *token, size_t token_size, int64_t *expires_on, char *problem,
                    size_t problem_size)
{
    (void)token, (void)token_size, (void)expires_on;
    atomic_fetch_add((atomic_int *)user, strstr(scope, "storage.azure.com") != NULL);
    snprintf(problem, problem_size, "nobody is signed in");
    return 1;
}

static void end_token(void *user)
{
    atomic_fetch_add((atomic_int *)user, 100);
}

static void a_token_callback_is_asked_and_its_words_are_the_error(void)
{
    migrate_error *err = NULL;
    atomic_int asked = 0;
    migrate_config config = new_config(NULL);
    config.extra_json = "{\"retry\": {\"budget_seconds\": 0}}";
    world w = world_open(__func__, config);
    migrate_target_free(&w.target);
    migrate_token *token = NULL;
    migrate_token_source callbacks = {.struct_size = sizeof callbacks, .user = &asked, .get = no_token, .ended = end_token};
    OK(migrate_token_open(&callbacks, &token, &err));
    migrate_blob blob = {.struct_size = sizeof blob,
                         .url = "https://web01.blob.core.windows.net/disks/web01.vhd",
                         .proxy = "http://127.0.0.1:9/",
                         .allow_public_route = 1};
    OK(migrate_target_blob(&blob, token, &w.target, &err));
    CHECK(strcmp(migrate_target_location(w.target), blob.url) == 0);
    migrate_token_free(&token);
    migrate_disk disk = new_disk(MIB, "1");
    OK(migrate_source_pushed(&disk, &w.source, &err));
    migrate_status status = migrate_replica_open(w.engine, w.target, w.source, 60000, &w.replica, &err);
    CHECK(status == MIGRATE_ERROR && strstr(migrate_error_json(err), "nobody is signed in") != NULL);
    if (wrong) {
        printf("  %d %s\n", (int)status, err ? migrate_error_json(err) : "no error");
    }
    migrate_error_free(&err);
    world_close(&w);
    for (int tries = 0; tries < 1000 && atomic_load(&asked) < 101; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    CHECK(atomic_load(&asked) > 100);
}

static void the_control_planes_model_answers(void)
{
    migrate_error *err = NULL;
    char *answer = NULL;
    OK(migrate_control("lifecycle", NULL, &answer, &err));
    CHECK(answer != NULL && answer[0] == '{');
    migrate_text_free(&answer);
    FAILS("call.argument", migrate_control("plans", NULL, &answer, &err));
    CHECK(answer == NULL);
    CHECK(strcmp(migrate_version(), "0.1.0") == 0 && MIGRATE_VERSION_MINOR == 1);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: whole FOLDER [few]\n");
        return 2;
    }
    folder = argv[1];
    RUN(a_disk_is_pushed_and_each_buffer_comes_back_once);
    RUN(a_disk_that_callbacks_read_is_replicated_and_verified);
    RUN(a_poll_loop_drives_a_run_and_sees_its_events);
    RUN(events_and_log_come_by_callback_and_stop_when_they_are_closed);
    if (argc == 3) {
        return summary();
    }
    RUN(a_push_beyond_the_memory_limit_would_block_and_leaves_the_buffer_alone);
    RUN(buffers_of_a_cycle_that_is_thrown_away_come_back_too);
    RUN(what_a_read_callback_says_is_the_error);
    RUN(a_job_is_cancelled_from_another_thread_and_the_next_run_goes_on);
    RUN(a_change_list_as_an_array_sends_only_what_changed);
    RUN(a_token_callback_is_asked_and_its_words_are_the_error);
    RUN(the_control_planes_model_answers);
    return summary();
}
