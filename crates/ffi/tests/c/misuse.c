/* Everything that the header calls an error instead of a crash. Each test passes if it gets to its end. */
#include "check.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void never(void *buffer, void *user)
{
    (void)buffer;
    atomic_fetch_add((atomic_int *)user, 1);
}

static int read_nothing(void *user, uint64_t offset, void *buffer, size_t len, char *problem, size_t problem_size)
{
    (void)user, (void)offset, (void)buffer, (void)len, (void)problem, (void)problem_size;
    return 0;
}

static void null_is_an_error_wherever_it_makes_no_sense(void)
{
    migrate_error *err = NULL;
    migrate_engine *engine = NULL;
    migrate_target *target = NULL;
    migrate_source *source = NULL;
    migrate_replica *replica = NULL;
    migrate_cycle *cycle = NULL;
    migrate_job *job = NULL;
    migrate_point *point = NULL;
    migrate_report *report = NULL;
    migrate_events *events = NULL;
    migrate_token *token = NULL;
    migrate_project *project = NULL;
    migrate_extent extent;
    char *text = NULL;
    uint64_t number = 0;
    int fd = 0;
    char byte = 0;
    FAILS("call.argument", migrate_engine_open(NULL, NULL, &err));
    FAILS("call.argument", migrate_engine_close(NULL, 0, &err));
    FAILS("call.argument", migrate_engine_set_bytes_per_second(NULL, 0, &err));
    FAILS("call.argument", migrate_engine_set_schedule(NULL, NULL, &err));
    FAILS("call.argument", migrate_preflight_network(NULL, "{}", 0, &text, &err));
    FAILS("call.argument", migrate_preflight_network_start(NULL, "{}", &job, &err));
    FAILS("call.argument", migrate_control(NULL, NULL, &text, &err));
    FAILS("call.argument", migrate_control("lifecycle", NULL, NULL, &err));
    FAILS("call.argument", migrate_target_open(NULL, NULL, &target, &err));
    FAILS("call.argument", migrate_target_local(NULL, &target, &err));
    FAILS("call.argument", migrate_target_local("/tmp/a.vhd", NULL, &err));
    FAILS("call.argument", migrate_target_blob(NULL, NULL, &target, &err));
    FAILS("call.argument", migrate_token_open(NULL, &token, &err));
    FAILS("call.argument", migrate_project_open(NULL, "{}", NULL, &project, &err));
    FAILS("call.argument", migrate_project_ask(NULL, "plan", NULL, 0, &text, &err));
    FAILS("call.argument", migrate_project_next(NULL, &text, &err));
    FAILS("call.argument", migrate_source_open(NULL, "{}", 0, &source, &err));
    FAILS("call.argument", migrate_source_open_start(NULL, "{}", &job, &err));
    FAILS("call.argument", migrate_source_pushed(NULL, &source, &err));
    FAILS("call.argument", migrate_source_served(NULL, NULL, &source, &err));
    FAILS("call.argument", migrate_source_json(NULL, &text, &err));
    FAILS("call.argument", migrate_replica_open(NULL, NULL, NULL, 0, &replica, &err));
    FAILS("call.argument", migrate_replica_take_over(NULL, NULL, NULL, 0, &replica, &err));
    FAILS("call.argument", migrate_replica_replicate(NULL, NULL, NULL, 0, &point, &err));
    FAILS("call.argument", migrate_replica_begin(NULL, NULL, NULL, 0, &cycle, &err));
    FAILS("call.argument", migrate_replica_verify(NULL, NULL, NULL, 0, &report, &err));
    FAILS("call.argument", migrate_replica_recovery_points(NULL, 0, &text, &err));
    FAILS("call.argument", migrate_replica_prune(NULL, NULL, 0, &text, &err));
    FAILS("call.argument", migrate_replica_roll_back(NULL, 1, 0, &point, &err));
    FAILS("call.argument", migrate_replica_export_proof(NULL, NULL, NULL, 0, &point, &err));
    FAILS("call.argument", migrate_replica_disk_bytes(NULL, 0, &number, &err));
    FAILS("call.argument", migrate_replica_close(NULL, 0, &err));
    FAILS("call.argument", migrate_cycle_next(NULL, &extent, 0, &err));
    FAILS("call.argument", migrate_cycle_next(NULL, NULL, 0, &err));
    FAILS("call.argument", migrate_cycle_push(NULL, 0, &byte, 1, never, NULL, &err));
    FAILS("call.argument", migrate_cycle_wait(NULL, 0, &err));
    FAILS("call.argument", migrate_cycle_copy_from(NULL, NULL, 0, &err));
    FAILS("call.argument", migrate_cycle_seal(NULL, 0, &point, &err));
    FAILS("call.argument", migrate_cycle_stop(NULL, &err));
    FAILS("call.argument", migrate_job_fd(NULL, &fd, &err));
    FAILS("call.argument", migrate_job_poll(NULL, &err));
    FAILS("call.argument", migrate_job_wait(NULL, 0, &err));
    FAILS("call.argument", migrate_job_cancel(NULL, &err));
    FAILS("call.argument", migrate_job_point(NULL, &point, &err));
    FAILS("call.argument", migrate_job_result(NULL, &err));
    FAILS("call.argument", migrate_events_open(NULL, 0, &events, &err));
    FAILS("call.argument", migrate_events_next(NULL, 0, &text, &err));
    FAILS("call.argument", migrate_events_fd(NULL, &fd, &err));
    FAILS("call.argument", migrate_events_call(NULL, NULL, NULL, &err));
    CHECK(migrate_error_code(NULL) == NULL && migrate_error_message(NULL) == NULL && migrate_error_json(NULL) == NULL);
    CHECK(migrate_error_kind_of(NULL) == MIGRATE_KIND_NONE && migrate_error_cause(NULL, 0) == NULL);
    CHECK(migrate_point_json(NULL) == NULL && migrate_point_cycle(NULL) == 0 && migrate_point_count(NULL, NULL) == 0);
    CHECK(!migrate_report_equal(NULL) && migrate_report_json(NULL) == NULL && migrate_replica_location(NULL) == NULL);
    CHECK(migrate_target_location(NULL) == NULL && migrate_source_size_bytes(NULL) == 0);
    CHECK(migrate_engine_close(NULL, 0, NULL) == MIGRATE_ERROR);
    migrate_engine_free(NULL), migrate_engine_free(&engine), migrate_target_free(NULL), migrate_target_free(&target);
    migrate_source_free(NULL), migrate_source_free(&source), migrate_replica_free(NULL), migrate_replica_free(&replica);
    migrate_cycle_free(NULL), migrate_cycle_free(&cycle), migrate_job_free(NULL), migrate_job_free(&job);
    migrate_point_free(NULL), migrate_point_free(&point), migrate_report_free(NULL), migrate_report_free(&report);
    migrate_events_free(NULL), migrate_events_free(&events), migrate_token_free(NULL), migrate_token_free(&token);
    migrate_project_free(NULL), migrate_project_free(&project);
    migrate_error_free(NULL), migrate_error_free(&err), migrate_text_free(NULL), migrate_text_free(&text);
}

static void handles_of_another_kind_freed_ones_and_made_up_ones_are_found_out(void)
{
    migrate_error *err = NULL;
    migrate_target *target = NULL, *copy, *other;
    OK(migrate_target_local(PATH("replica.vhd"), &target, &err));
    copy = target;
    FAILS("call.argument", migrate_engine_close((migrate_engine *)target, 0, &err));
    CHECK(migrate_error_code((migrate_error *)target) == NULL);
    migrate_engine *wrong_kind = (migrate_engine *)target;
    migrate_engine_free(&wrong_kind);
    CHECK(wrong_kind == NULL && migrate_target_location(target) != NULL);
    migrate_target_free(&target);
    CHECK(target == NULL);
    migrate_target_free(&target);
    other = copy;
    migrate_target_free(&other);
    CHECK(migrate_target_location(copy) == NULL);
    migrate_engine *engine = NULL;
    migrate_replica *replica = NULL;
    migrate_disk disk = new_disk(MIB, "1");
    migrate_source *source = NULL;
    OK(migrate_engine_open(NULL, &engine, &err));
    OK(migrate_source_pushed(&disk, &source, &err));
    FAILS("call.closed", migrate_replica_open(engine, copy, source, 0, &replica, &err));
    FAILS("call.closed", migrate_job_poll((migrate_job *)(uintptr_t)0x1234, &err));
    FAILS("call.closed", migrate_job_poll((migrate_job *)&err, &err));
    migrate_source_free(&source);
    migrate_engine_free(&engine);
}

static void structures_and_settings_that_cannot_be_used_are_named(void)
{
    migrate_error *err = NULL;
    migrate_engine *engine = NULL;
    migrate_config config = new_config(NULL);
    config.struct_size = 0;
    FAILS("call.argument", migrate_engine_open(&config, &engine, &err));
    config = new_config("a folder in \xff bytes");
    CHECK(migrate_engine_open(&config, &engine, &err) == MIGRATE_ERROR && engine == NULL);
    CHECK(strstr(migrate_error_message(err), "config.state_dir") != NULL);
    migrate_error_free(&err);
    config = new_config(NULL);
    config.memory_limit = 4096;
    FAILS("engine.option", migrate_engine_open(&config, &engine, &err));
    config.memory_limit = 1 << 28;
    config.extra_json = "{\"memory_limit\": 1}";
    FAILS("call.argument", migrate_engine_open(&config, &engine, &err));
    config.extra_json = "{\"memory_limt\": 1}";
    FAILS("call.argument", migrate_engine_open(&config, &engine, &err));
    config.extra_json = "{\"a\": ";
    FAILS("call.argument", migrate_engine_open(&config, &engine, &err));
    migrate_source *source = NULL;
    migrate_disk disk = new_disk(0, "1");
    FAILS("call.argument", migrate_source_pushed(&disk, &source, &err));
    disk.size_bytes = MIB;
    disk.zero_count = 1;
    FAILS("call.argument", migrate_source_pushed(&disk, &source, &err));
    migrate_extent zero = {.offset = MIB - 1, .len = 2};
    disk.zero = &zero;
    FAILS("call.argument", migrate_source_pushed(&disk, &source, &err));
    zero = (migrate_extent){.offset = UINT64_MAX, .len = UINT64_MAX};
    FAILS("call.argument", migrate_source_pushed(&disk, &source, &err));
    disk.zero_count = SIZE_MAX / 4;
    FAILS("call.argument", migrate_source_pushed(&disk, &source, &err));
    migrate_reader reader = {.struct_size = sizeof reader};
    disk.zero_count = 0;
    FAILS("call.argument", migrate_source_served(&disk, &reader, &source, &err));
    reader.struct_size = 8;
    reader.read = read_nothing;
    FAILS("call.argument", migrate_source_served(&disk, &reader, &source, &err));
    migrate_target *target = NULL;
    migrate_blob blob = {.struct_size = sizeof blob, .url = "https://a.blob.core.windows.net/b/c", .sas = "sig=canary",
                         .ca_file = "/nowhere/ca.pem"};
    CHECK(migrate_target_blob(&blob, NULL, &target, &err) == MIGRATE_ERROR);
    CHECK(strstr(migrate_error_json(err), "canary") == NULL && strstr(migrate_error_message(err), "ca_file") != NULL);
    migrate_error_free(&err);
}

typedef struct world {
    migrate_engine *engine;
    migrate_target *target;
    migrate_source *source;
    migrate_replica *replica;
    migrate_cycle *cycle;
} world;

static world begin(const char *test, migrate_config config)
{
    world w = {0};
    migrate_error *err = NULL;
    migrate_disk disk = new_disk(2 * MIB, "1");
    config.state_dir = path_in(test, "state");
    OK(migrate_engine_open(&config, &w.engine, &err));
    OK(migrate_target_local(path_in(test, "replica.vhd"), &w.target, &err));
    OK(migrate_source_pushed(&disk, &w.source, &err));
    OK(migrate_replica_open(w.engine, w.target, w.source, 60000, &w.replica, &err));
    OK(migrate_replica_begin(w.replica, w.source, NULL, 60000, &w.cycle, &err));
    return w;
}

/* In an order that frees first what the others came from. */
static void end(world *w)
{
    migrate_engine_free(&w->engine);
    migrate_target_free(&w->target);
    migrate_source_free(&w->source);
    migrate_replica_free(&w->replica);
    migrate_cycle_free(&w->cycle);
}

static void a_push_that_is_refused_leaves_the_buffer_to_the_caller(void)
{
    migrate_error *err = NULL;
    atomic_int back = 0;
    unsigned char *disk = sample(2 * MIB);
    world w = begin(__func__, new_config(NULL));
    migrate_extent want;
    FAILS("cycle.not_wanted", migrate_cycle_push(w.cycle, 0, disk, MIB, never, &back, &err));
    OK(migrate_cycle_next(w.cycle, &want, 60000, &err));
    size_t len = (size_t)want.len;
    FAILS("cycle.not_wanted", migrate_cycle_push(w.cycle, want.offset, disk, len - 1, never, &back, &err));
    FAILS("cycle.not_wanted", migrate_cycle_push(w.cycle, want.offset + 1, disk, len, never, &back, &err));
    FAILS("call.argument", migrate_cycle_push(w.cycle, want.offset, disk, 0, never, &back, &err));
    FAILS("call.argument", migrate_cycle_push(w.cycle, want.offset, disk, SIZE_MAX, never, &back, &err));
    FAILS("call.argument", migrate_cycle_push(w.cycle, want.offset, NULL, len, never, &back, &err));
    FAILS("call.argument", migrate_cycle_push(w.cycle, want.offset, disk, len, NULL, &back, &err));
    migrate_point *point = NULL;
    FAILS("cycle.incomplete", migrate_cycle_seal(w.cycle, 60000, &point, &err));
    FAILS("call.closed", migrate_cycle_push(w.cycle, want.offset, disk, len, never, &back, &err));
    FAILS("call.closed", migrate_cycle_seal(w.cycle, 60000, &point, &err));
    OK(migrate_engine_close(w.engine, 10000, &err));
    CHECK(atomic_load(&back) == 0);
    end(&w);
    free(disk);
}

static void what_is_closed_says_so(void)
{
    migrate_error *err = NULL;
    world w = begin(__func__, new_config(NULL));
    migrate_job *job = NULL;
    migrate_point *point = NULL;
    migrate_extent want;
    char *text = NULL;
    OK(migrate_cycle_stop(w.cycle, &err));
    OK(migrate_cycle_stop(w.cycle, &err));
    FAILS("cycle.cancelled", migrate_cycle_next(w.cycle, &want, 60000, &err));
    OK(migrate_replica_close(w.replica, 60000, &err));
    OK(migrate_replica_close(w.replica, 60000, &err));
    FAILS("call.closed", migrate_replica_history(w.replica, 60000, &text, &err));
    FAILS("call.closed", migrate_replica_replicate_start(w.replica, w.source, NULL, &job, &err));
    CHECK(job == NULL);
    OK(migrate_engine_close(w.engine, 10000, &err));
    OK(migrate_engine_close(w.engine, 10000, &err));
    FAILS("call.closed", migrate_cycle_next(w.cycle, &want, 60000, &err));
    FAILS("call.closed", migrate_cycle_seal(w.cycle, 60000, &point, &err));
    FAILS("call.closed", migrate_replica_verify(w.replica, NULL, NULL, 0, (migrate_report **)&point, &err));
    FAILS("call.closed", migrate_engine_set_bytes_per_second(w.engine, 1, &err));
    end(&w);
}

static void a_result_of_another_kind_is_not_taken(void)
{
    migrate_error *err = NULL;
    world w = begin(__func__, new_config(NULL));
    migrate_job *job = NULL;
    migrate_point *point = NULL;
    migrate_extent want;
    OK(migrate_cycle_next_start(w.cycle, &job, &err));
    FAILS("call.argument", migrate_job_point(job, &point, &err));
    FAILS("call.argument", migrate_job_result(job, &err));
    OK(migrate_job_wait(job, 60000, &err));
    FAILS("call.argument", migrate_job_extent(job, NULL, &err));
    OK(migrate_job_extent(job, &want, &err));
    FAILS("call.closed", migrate_job_extent(job, &want, &err));
    migrate_job_free(&job);
    end(&w);
}

static atomic_int reentered;

static void reenter(void *buffer, void *user)
{
    world *w = user;
    migrate_error *err = NULL;
    migrate_extent want;
    int right = migrate_cycle_wait(w->cycle, 1, &err) == MIGRATE_ERROR && strcmp(migrate_error_code(err), "call.reentered") == 0;
    migrate_error_free(&err);
    right &= migrate_cycle_next(w->cycle, &want, -1, &err) == MIGRATE_ERROR;
    migrate_error_free(&err);
    right &= migrate_engine_close(w->engine, -1, &err) == MIGRATE_ERROR && strcmp(migrate_error_code(err), "call.reentered") == 0;
    migrate_error_free(&err);
    /* What does not wait is allowed: to push again, to cancel, even to free. */
    right &= migrate_cycle_push(w->cycle, 1, buffer, 1, never, NULL, &err) == MIGRATE_ERROR;
    migrate_error_free(&err);
    right &= migrate_cycle_stop(w->cycle, &err) == MIGRATE_OK;
    migrate_cycle_free(&w->cycle);
    atomic_store(&reentered, right ? 1 : -1);
}

static void a_callback_that_reenters_is_told_so_and_may_free_what_it_belongs_to(void)
{
    migrate_error *err = NULL;
    unsigned char *disk = sample(2 * MIB);
    world w = begin(__func__, new_config(NULL));
    migrate_extent want;
    atomic_store(&reentered, 0);
    OK(migrate_cycle_next(w.cycle, &want, 60000, &err));
    OK(migrate_cycle_push(w.cycle, want.offset, disk + want.offset, (size_t)want.len, reenter, &w, &err));
    for (int tries = 0; tries < 2000 && atomic_load(&reentered) == 0; tries++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    OK(migrate_engine_close(w.engine, 10000, &err));
    CHECK(atomic_load(&reentered) == 1 && w.cycle == NULL);
    end(&w);
    free(disk);
}

static void *wait_for_the_next(void *user)
{
    world *w = user;
    migrate_error *err = NULL;
    migrate_extent want;
    while (migrate_cycle_next(w->cycle, &want, 60000, &err) == MIGRATE_OK) {
    }
    const char *code = migrate_error_code(err);
    atomic_store(&reentered, code != NULL && (strcmp(code, "call.closed") == 0 || strcmp(code, "cycle.cancelled") == 0) ? 1 : -1);
    migrate_error_free(&err);
    return NULL;
}

static void handles_may_be_freed_while_other_threads_use_them(void)
{
    migrate_error *err = NULL;
    for (int round = 0; round < 5; round++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%d", __func__, round);
        migrate_config config = new_config(NULL);
        config.bytes_per_second = 64 * 1024;
        world w = begin(name, config), copy = w;
        unsigned char *disk = sample(2 * MIB);
        atomic_int back = 0;
        migrate_extent want;
        OK(migrate_cycle_next(w.cycle, &want, 60000, &err));
        OK(migrate_cycle_push(w.cycle, want.offset, disk, (size_t)want.len, never, &back, &err));
        atomic_store(&reentered, 0);
        /* This thread asks for more and more while all is freed under it; the extents that it never pushes keep
         * the cycle open, and the end of the handle ends it. */
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, wait_for_the_next, &copy) == 0);
        migrate_job *job = NULL;
        OK(migrate_replica_verify_start(w.replica, NULL, "{\"subject\": \"live\"}", &job, &err));
        OK(migrate_cycle_stop(w.cycle, &err));
        migrate_job_free(&job);
        migrate_cycle_free(&w.cycle);
        migrate_replica_free(&w.replica);
        OK(migrate_engine_close(w.engine, 10000, &err));
        pthread_join(thread, NULL);
        CHECK(atomic_load(&back) == 1);
        end(&w);
        free(disk);
    }
}

static void a_forked_child_is_told_so(void)
{
    migrate_error *err = NULL;
    migrate_engine *engine = NULL;
    migrate_job *job = NULL;
    OK(migrate_engine_open(NULL, &engine, &err));
    OK(migrate_preflight_network_start(engine, "{\"targets\": []}", &job, &err));
    OK(migrate_job_wait(job, -1, &err));
    char *text = NULL;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        wrong = 0;
        FAILS("call.forked", migrate_engine_set_bytes_per_second(engine, 1, &err));
        FAILS("call.forked", migrate_job_wait(job, -1, &err));
        FAILS("call.forked", migrate_job_poll(job, &err));
        FAILS("call.forked", migrate_job_text(job, &text, &err));
        _exit(wrong);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    migrate_job_free(&job);
    migrate_engine_free(&engine);
}

int main(int argc, char **argv)
{
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: misuse FOLDER [few]\n");
        return 2;
    }
    folder = argv[1];
    RUN(null_is_an_error_wherever_it_makes_no_sense);
    RUN(handles_of_another_kind_freed_ones_and_made_up_ones_are_found_out);
    RUN(structures_and_settings_that_cannot_be_used_are_named);
    RUN(a_push_that_is_refused_leaves_the_buffer_to_the_caller);
    RUN(what_is_closed_says_so);
    RUN(a_result_of_another_kind_is_not_taken);
    RUN(a_callback_that_reenters_is_told_so_and_may_free_what_it_belongs_to);
    RUN(handles_may_be_freed_while_other_threads_use_them);
    if (argc == 2) {
        /* Not under valgrind: what the parent's threads hold is lost in the child, and it says so. */
        RUN(a_forked_child_is_told_so);
    }
    return summary();
}
