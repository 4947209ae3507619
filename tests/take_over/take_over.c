/*
 * One owner of a replica, to be killed in the middle: take_over FOLDER BYTES_PER_SECOND
 *
 * Replicates FOLDER/disk.raw to FOLDER/replica.vhd with checkpoints in FOLDER/state, prints each event as a line of
 * JSON as it comes, and at the end a line of type `done` or `error`.
 */
#include <migrate.h>

#include <stdio.h>
#include <stdlib.h>

static void print(const char *line, void *user)
{
    (void)user;
    printf("%s\n", line);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: take_over FOLDER BYTES_PER_SECOND\n");
        return 2;
    }
    char state[1024], replica_path[1024], settings[1200];
    snprintf(state, sizeof state, "%s/state", argv[1]);
    snprintf(replica_path, sizeof replica_path, "%s/replica.vhd", argv[1]);
    snprintf(settings, sizeof settings, "{\"path\": \"%s/disk.raw\", \"format\": \"raw\"}", argv[1]);
    migrate_config config = {.struct_size = sizeof config, .state_dir = state, .bytes_per_second = strtoull(argv[2], NULL, 10)};

    migrate_error *err = NULL;
    migrate_engine *engine = NULL;
    migrate_events *events = NULL;
    migrate_source *source = NULL;
    migrate_target *target = NULL;
    migrate_replica *replica = NULL;
    migrate_point *point = NULL;
    if (migrate_engine_open(&config, &engine, &err) == MIGRATE_OK &&
        migrate_events_open(engine, 0, &events, &err) == MIGRATE_OK &&
        migrate_events_call(events, print, NULL, &err) == MIGRATE_OK &&
        migrate_source_open(engine, settings, -1, &source, &err) == MIGRATE_OK &&
        migrate_target_local(replica_path, &target, &err) == MIGRATE_OK &&
        migrate_replica_open(engine, target, source, -1, &replica, &err) == MIGRATE_OK &&
        migrate_replica_replicate(replica, source, NULL, -1, &point, &err) == MIGRATE_OK) {
        migrate_replica_close(replica, -1, &err);
    }
    migrate_replica_free(&replica);
    migrate_source_free(&source);
    migrate_target_free(&target);
    migrate_engine_close(engine, 10000, NULL);
    migrate_events_free(&events);
    migrate_engine_free(&engine);

    int failed = err != NULL;
    if (failed) {
        printf("{\"type\":\"error\",\"error\":%s}\n", migrate_error_json(err));
    } else {
        printf("{\"type\":\"done\",\"point\":%s}\n", migrate_point_json(point));
    }
    fflush(stdout);
    migrate_point_free(&point);
    migrate_error_free(&err);
    return failed;
}
