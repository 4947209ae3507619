/* What the test programs have in common: tests that are counted, and a disk to replicate. */
#ifndef CHECK_H
#define CHECK_H

#include "migrate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MIB ((size_t)1 << 20)

static int passed, failed, wrong;
static const char *folder;

#define CHECK(condition)                                                                                             \
    do {                                                                                                             \
        if (!(condition)) {                                                                                          \
            wrong = 1;                                                                                               \
            printf("  %s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                         \
        }                                                                                                            \
    } while (0)

/* A call that must succeed; its error is printed and freed otherwise. */
#define OK(call)                                                                                                     \
    do {                                                                                                             \
        migrate_status status_ = (call);                                                                             \
        if (status_ != MIGRATE_OK) {                                                                                 \
            wrong = 1;                                                                                               \
            printf("  %s:%d: %d: %s: %s\n", __FILE__, __LINE__, (int)status_, #call,                                 \
                   err ? migrate_error_json(err) : "no error");                                                      \
            migrate_error_free(&err);                                                                                \
        }                                                                                                            \
    } while (0)

/* A call that must fail with this code. */
#define FAILS(expected, call)                                                                                        \
    do {                                                                                                             \
        migrate_status status_ = (call);                                                                             \
        const char *code_ = migrate_error_code(err);                                                                 \
        if (status_ != MIGRATE_ERROR || code_ == NULL || strcmp(code_, expected) != 0) {                             \
            wrong = 1;                                                                                               \
            printf("  %s:%d: %d with %s instead of %s: %s\n", __FILE__, __LINE__, (int)status_,                      \
                   code_ ? code_ : "no error", expected, #call);                                                     \
        }                                                                                                            \
        migrate_error_free(&err);                                                                                    \
    } while (0)

#define RUN(test)                                                                                                    \
    do {                                                                                                             \
        wrong = 0;                                                                                                   \
        test();                                                                                                      \
        CHECK(migrate_handle_count() == 0);                                                                          \
        wrong ? failed++ : passed++;                                                                                 \
        printf("%s %s\n", wrong ? "FAILED" : "ok", #test);                                                           \
        fflush(stdout);                                                                                              \
    } while (0)

static inline int summary(void)
{
    printf("%d passed, %d failed\n", passed, failed);
    return failed != 0;
}

/* A path in a folder of its own for each test. */
static inline char *path_in(const char *test, const char *name)
{
    static char paths[16][512];
    static int next;
    char *path = paths[next++ % 16];
    snprintf(path, sizeof paths[0], "%s/%s", folder, test);
    mkdir(path, 0777);
    snprintf(path, sizeof paths[0], "%s/%s/%s", folder, test, name);
    return path;
}

#define PATH(name) path_in(__func__, name)

static inline unsigned char *sample(size_t len)
{
    unsigned char *bytes = (unsigned char *)malloc(len);
    if (bytes == NULL) {
        abort();
    }
    for (size_t at = 0; at < len; at++) {
        bytes[at] = (unsigned char)(at % 251);
    }
    return bytes;
}

static inline void write_file(const char *path, const unsigned char *bytes, size_t len)
{
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, len, file) != len || fclose(file) != 0) {
        abort();
    }
}

/* Whether a file begins with these bytes. */
static inline int begins_with(const char *path, const unsigned char *bytes, size_t len)
{
    unsigned char *found = (unsigned char *)malloc(len);
    FILE *file = fopen(path, "rb");
    int same = file != NULL && found != NULL && fread(found, 1, len, file) == len && memcmp(found, bytes, len) == 0;
    if (file != NULL) {
        fclose(file);
    }
    free(found);
    return same;
}

static inline migrate_config new_config(const char *state_dir)
{
    migrate_config config;
    memset(&config, 0, sizeof config);
    config.struct_size = sizeof config;
    config.state_dir = state_dir;
    return config;
}

static inline migrate_disk new_disk(size_t size, const char *point)
{
    migrate_disk disk;
    memset(&disk, 0, sizeof disk);
    disk.struct_size = sizeof disk;
    disk.size_bytes = size;
    disk.point = point;
    return disk;
}

#endif
