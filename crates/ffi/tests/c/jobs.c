/* Everything that waits as a job, in one thread whose loop is poll(2). */
#include "check.h"

#include <poll.h>

/* Waits for a job's file descriptor, which says that it has ended; whether it does within a minute. */
static int has_ended(migrate_job *job)
{
    migrate_error *err = NULL;
    struct pollfd ready = {.events = POLLIN};
    OK(migrate_job_fd(job, &ready.fd, &err));
    return poll(&ready, 1, 60000) == 1 && migrate_job_poll(job, &err) == MIGRATE_OK;
}

/* What a job came to, each taken once. */
#define RESULT(take, result)                                                                                         \
    do {                                                                                                             \
        CHECK(has_ended(job));                                                                                       \
        OK(take(job, result, &err));                                                                                 \
        migrate_job_free(&job);                                                                                      \
    } while (0)

#define NOTHING()                                                                                                    \
    do {                                                                                                             \
        CHECK(has_ended(job));                                                                                       \
        OK(migrate_job_result(job, &err));                                                                           \
        migrate_job_free(&job);                                                                                      \
    } while (0)

#define TEXT(holds)                                                                                                  \
    do {                                                                                                             \
        RESULT(migrate_job_text, &text);                                                                             \
        CHECK(text != NULL && strstr(text, holds) != NULL);                                                          \
        migrate_text_free(&text);                                                                                    \
    } while (0)

static migrate_engine *engine_of(const char *test, uint64_t memory_limit)
{
    migrate_error *err = NULL;
    migrate_engine *engine = NULL;
    migrate_config config = new_config(path_in(test, "state"));
    config.memory_limit = memory_limit;
    OK(migrate_engine_open(&config, &engine, &err));
    return engine;
}

static void count_one(void *buffer, void *user)
{
    (void)buffer;
    ++*(size_t *)user;
}

static void a_loop_pushes_a_disk_and_never_blocks(void)
{
    migrate_error *err = NULL;
    size_t size = 12 * MIB, given = 0, back = 0;
    unsigned char *disk = sample(size);
    migrate_engine *engine = engine_of(__func__, 4 * MIB);
    migrate_target *target = NULL;
    migrate_source *source = NULL;
    migrate_replica *replica = NULL;
    migrate_cycle *cycle = NULL;
    migrate_point *point = NULL;
    migrate_job *job = NULL;
    char *path = PATH("replica.vhd");
    migrate_disk settings = new_disk(size, "1");
    OK(migrate_target_local(path, &target, &err));
    OK(migrate_source_pushed(&settings, &source, &err));
    OK(migrate_replica_open_start(engine, target, source, &job, &err));
    RESULT(migrate_job_replica, &replica);
    OK(migrate_replica_begin_start(replica, source, NULL, &job, &err));
    RESULT(migrate_job_cycle, &cycle);
    for (;;) {
        migrate_extent want;
        OK(migrate_cycle_next_start(cycle, &job, &err));
        CHECK(has_ended(job));
        migrate_status status = migrate_job_extent(job, &want, &err);
        migrate_job_free(&job);
        if (status != MIGRATE_OK) {
            CHECK(status == MIGRATE_DONE);
            break;
        }
        /* The callback runs on a thread of the library's; what it counts is read after the engine was closed. */
        while ((status = migrate_cycle_push(cycle, want.offset, disk + want.offset, (size_t)want.len, count_one, &back,
                                            &err)) == MIGRATE_WOULD_BLOCK) {
            OK(migrate_cycle_wait_start(cycle, &job, &err));
            NOTHING();
        }
        CHECK(status == MIGRATE_OK);
        given++;
    }
    OK(migrate_cycle_seal_start(cycle, &job, &err));
    RESULT(migrate_job_point, &point);
    CHECK(migrate_point_cycle(point) == 1 && migrate_point_count(point, "sent") == size);
    migrate_point_free(&point);
    migrate_cycle_free(&cycle);
    OK(migrate_replica_close_start(replica, &job, &err));
    NOTHING();
    CHECK(begins_with(path, disk, size));
    migrate_replica_free(&replica);
    migrate_source_free(&source);
    migrate_target_free(&target);
    OK(migrate_engine_close(engine, 10000, &err));
    migrate_engine_free(&engine);
    CHECK(given >= 12 && back == given);
    free(disk);
}

static void every_question_to_a_replica_is_a_job_too(void)
{
    migrate_error *err = NULL;
    size_t size = 3 * MIB;
    unsigned char *disk = sample(size);
    migrate_engine *engine = engine_of(__func__, 0);
    migrate_target *target = NULL;
    migrate_source *source = NULL;
    migrate_replica *replica = NULL;
    migrate_cycle *cycle = NULL;
    migrate_point *point = NULL;
    migrate_report *report = NULL;
    migrate_job *job = NULL;
    char *text = NULL, settings[600];
    uint64_t number = 0;
    write_file(PATH("disk.raw"), disk, size);
    snprintf(settings, sizeof settings, "{\"path\": \"%s\", \"format\": \"raw\"}", PATH("disk.raw"));
    OK(migrate_target_local(PATH("replica.vhd"), &target, &err));
    OK(migrate_source_open_start(engine, settings, &job, &err));
    RESULT(migrate_job_source, &source);
    OK(migrate_replica_take_over_start(engine, target, source, &job, &err));
    RESULT(migrate_job_replica, &replica);

    OK(migrate_replica_replicate_start(replica, source, NULL, &job, &err));
    RESULT(migrate_job_point, &point);
    migrate_point_free(&point);
    OK(migrate_replica_begin_start(replica, source, NULL, &job, &err));
    RESULT(migrate_job_cycle, &cycle);
    OK(migrate_cycle_copy_from_start(cycle, source, &job, &err));
    NOTHING();
    OK(migrate_cycle_seal_start(cycle, &job, &err));
    RESULT(migrate_job_point, &point);
    CHECK(migrate_point_cycle(point) == 2);
    migrate_point_free(&point);
    migrate_cycle_free(&cycle);

    OK(migrate_replica_disk_bytes_start(replica, &job, &err));
    RESULT(migrate_job_number, &number);
    CHECK(number == size);
    OK(migrate_replica_verify_start(replica, source, NULL, &job, &err));
    RESULT(migrate_job_report, &report);
    CHECK(migrate_report_equal(report));
    migrate_report_free(&report);
    OK(migrate_replica_export_proof_start(replica, PATH("proof"), NULL, &job, &err));
    RESULT(migrate_job_point, &point);
    CHECK(migrate_point_cycle(point) == 2);
    migrate_point_free(&point);
    OK(migrate_replica_roll_back_start(replica, 1, &job, &err));
    RESULT(migrate_job_point, &point);
    CHECK(migrate_point_cycle(point) == 3);
    migrate_point_free(&point);
    OK(migrate_replica_recovery_points_start(replica, &job, &err));
    TEXT("\"cycle\":3");
    OK(migrate_replica_history_start(replica, &job, &err));
    TEXT("\"cycle\":1");
    OK(migrate_replica_prune_start(replica, "{\"newest\": 1}", &job, &err));
    TEXT("[1,2]");
    OK(migrate_replica_garbage_start(replica, &job, &err));
    TEXT("[");
    OK(migrate_replica_collect_garbage_start(replica, &job, &err));
    TEXT("[");
    OK(migrate_preflight_network_start(engine, "{\"targets\": [], \"time_limit_seconds\": 1}", &job, &err));
    TEXT("\"targets\"");

    OK(migrate_replica_close_start(replica, &job, &err));
    NOTHING();
    migrate_replica_free(&replica);
    migrate_source_free(&source);
    migrate_target_free(&target);
    OK(migrate_engine_close(engine, 10000, &err));
    migrate_engine_free(&engine);
    free(disk);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: jobs FOLDER\n");
        return 2;
    }
    folder = argv[1];
    RUN(a_loop_pushes_a_disk_and_never_blocks);
    RUN(every_question_to_a_replica_is_a_job_too);
    return summary();
}
