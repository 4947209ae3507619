/*
 * libmigrate: replicates servers' disks into Azure page blobs.
 *
 * Made from crates/ffi by cbindgen; do not edit. The guide's page for C shows it in use, and its page on the ABI says
 * what stays as it is.
 *
 * RULES FOR EVERY FUNCTION
 *
 * Pointers. One that is not NULL points to what its type says, and stays so for the time of the call: texts are UTF-8
 * and end with a zero byte, arrays have as many elements as are stated, structures begin with their struct_size. NULL
 * is an error where it makes no sense, never a crash. Texts and arrays that are passed in are copied.
 *
 * Handles (migrate_engine *, migrate_error *, ...) are numbers and no addresses: do not dereference them. One that is
 * freed, of another kind, or made up is found out (call.closed, call.argument; getters give 0 or NULL), and so is one
 * that another thread frees while it is used. Every handle is freed by the function of its kind, which takes the
 * address of the variable and sets it to NULL; freeing NULL, or a second copy of a freed handle, does nothing. They may
 * be freed in any order. Texts (char *) are memory: they are freed once, by migrate_text_free.
 *
 * Errors. A function that can fail takes a migrate_error ** as its last argument, which may be NULL. It is set to
 * NULL, or, exactly when MIGRATE_ERROR is returned, to a new error, which is the caller's; what the variable held before
 * is not looked at and not freed. A handle or text that is a result is set to NULL unless the call gives one. Every
 * such function may also fail with call.argument (an argument cannot be used), call.closed (a handle or what it stands
 * for), call.forked (the process was forked after the engine was opened) and engine.internal (a fault of the library:
 * no panic leaves it). The guide's catalogue of errors has all codes.
 *
 * Threads. Everything may be called from any thread at any time, signal handlers and the time after fork excepted. A
 * call that waits has a timeout_ms; negative is without limit. When the time is up, one that gives MIGRATE_NOT_YET goes on
 * where it was with the next call, so with 0 it only looks. One that gives MIGRATE_TIMED_OUT is cancelled: 0 makes no
 * sense there, since what it does may be begun, though not finished; use its _start and a job to look.
 *
 * Callbacks run on threads that the library makes for them, never on the caller's in the middle of a call, and never
 * while a lock of the library is held. In a callback every call that does not wait is allowed; one that waits fails
 * with call.reentered, because it could wait for the callback itself. A callback must return: no longjmp, no exception.
 *
 * The library writes nothing to standard output or standard error, installs no signal handler, and calls neither exit
 * nor abort. It must not be unloaded (dlclose) once an engine was opened.
 */


#ifndef MIGRATE_H
#define MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where there are file descriptors to wait for. */
#if !defined(_WIN32)
#define MIGRATE_HAS_FD 1
#endif


/**
 * Major version of the library that this header is of.
 */
#define MIGRATE_VERSION_MAJOR 0

/**
 * Minor version of the library that this header is of.
 */
#define MIGRATE_VERSION_MINOR 1

/**
 * Patch version of the library that this header is of.
 */
#define MIGRATE_VERSION_PATCH 0

/**
 * What a call came to. New ones may be added; a program takes one that it does not know for MIGRATE_ERROR.
 */
typedef enum {
    /**
     * It is done.
     */
    MIGRATE_OK = 0,
    /**
     * It failed; the error says why.
     */
    MIGRATE_ERROR = 1,
    /**
     * The memory limit is reached: nothing was done; migrate_cycle_wait says when to try again.
     */
    MIGRATE_WOULD_BLOCK = 2,
    /**
     * It is still under way when the time is up; the same call waits on.
     */
    MIGRATE_NOT_YET = 3,
    /**
     * The time was up, and what was under way was cancelled. What has settled at the target stays.
     */
    MIGRATE_TIMED_OUT = 4,
    /**
     * There is nothing more to come.
     */
    MIGRATE_DONE = 5,
} migrate_status;

/**
 * Whose turn it is after an error.
 */
typedef enum {
    /**
     * There is no error: the handle was NULL or freed.
     */
    MIGRATE_KIND_NONE = 0,
    /**
     * Passing: the same call may succeed later.
     */
    MIGRATE_KIND_RETRYABLE = 1,
    /**
     * Something outside must be put right first.
     */
    MIGRATE_KIND_FATAL = 2,
    /**
     * The call itself must change.
     */
    MIGRATE_KIND_CALLER = 3,
} migrate_error_kind;

/**
 * How important a line of the log is.
 */
typedef enum {
    /**
     * Something failed.
     */
    MIGRATE_LOG_ERROR = 1,
    /**
     * Something is not as it should be.
     */
    MIGRATE_LOG_WARN = 2,
    /**
     * What an operator wants to know.
     */
    MIGRATE_LOG_INFO = 3,
    /**
     * What a developer wants to know.
     */
    MIGRATE_LOG_DEBUG = 4,
    /**
     * Everything.
     */
    MIGRATE_LOG_TRACE = 5,
} migrate_log_level;

/**
 * A cycle in progress. Several threads may take extents from it and push at once.
 */
typedef struct migrate_cycle migrate_cycle;

/**
 * An engine: the threads, the memory and the limits that replicas share. Most programs have one.
 */
typedef struct migrate_engine migrate_engine;

/**
 * Why a call failed: made by the call that returned MIGRATE_ERROR, and the caller's, to be freed by
 * migrate_error_free. It never holds a secret.
 */
typedef struct migrate_error migrate_error;

/**
 * Reads an engine's events in order. Each event is taken once from one reader; open another to read them twice.
 */
typedef struct migrate_events migrate_events;

/**
 * Something under way: to be waited for (by a thread, or by its file descriptor in the program's own loop) or
 * cancelled. Its result is taken once, by the function of its kind. Freeing it cancels it.
 */
typedef struct migrate_job migrate_job;

/**
 * A recovery point: a moment of the disk that the target holds whole.
 */
typedef struct migrate_point migrate_point;

/**
 * The control plane of one migration: what is wanted, and the service to talk to.
 */
typedef struct migrate_project migrate_project;

/**
 * The replica of one disk, open for writing by one engine alone.
 */
typedef struct migrate_replica migrate_replica;

/**
 * What a verification found.
 */
typedef struct migrate_report migrate_report;

/**
 * A disk: opened by the library, read by the program's callbacks, or pushed by it.
 */
typedef struct migrate_source migrate_source;

/**
 * Where a replica goes. Opening one sends nothing.
 */
typedef struct migrate_target migrate_target;

/**
 * Who gets tokens of Microsoft Entra ID, for targets that ask for them.
 */
typedef struct migrate_token migrate_token;

/**
 * A stretch of a disk, in bytes.
 */
typedef struct {
    /**
     * Where it begins.
     */
    uint64_t offset;
    /**
     * How long it is; at least 1.
     */
    uint64_t len;
} migrate_extent;

/**
 * Gives a buffer back to its owner. `user` is what was passed with it.
 *
 * Runs once for each buffer that was taken, on a thread of the library made for it, one call at a time. It may make
 * calls that do not wait; while it takes its time, no other buffer comes back.
 */
typedef void (*migrate_release_fn)(void *buffer, void *user);

/**
 * Settings of an engine. Set all to zero, then `struct_size` to its size, then what is wanted; 0 and NULL are the
 * default everywhere.
 */
typedef struct {
    /**
     * sizeof(migrate_config).
     */
    size_t struct_size;
    /**
     * Folder for checkpoints. NULL: none are kept, and an interrupted cycle is rebuilt from the target.
     */
    const char *state_dir;
    /**
     * Hard limit on all buffers, pushed ones too, in bytes. 0: 256 MiB.
     */
    uint64_t memory_limit;
    /**
     * Limit on what is sent, over all replicas, in bytes per second. 0: none.
     */
    uint64_t bytes_per_second;
    /**
     * Longest read and put: a power of two from 64 KiB to 4 MiB. 0: 1 MiB.
     */
    uint64_t run_bytes;
    /**
     * Unit of diffing of new replicas: a power of two from 4 KiB to 1 MiB. 0: by disk size.
     */
    uint64_t block_size;
    /**
     * Threads for everything but reading and hashing, 1 to 64. 0: 2.
     */
    uint32_t threads;
    /**
     * Threads that read and hash, per cycle. 0: one a processor, at most 4.
     */
    uint32_t readers;
    /**
     * The most requests under way per replica. 0: 16.
     */
    uint32_t requests_in_flight;
    /**
     * The most requests under way over all replicas. 0: 64.
     */
    uint32_t requests_in_flight_in_all;
    /**
     * Term of the lease, 15 to 60. 0: 60.
     */
    uint32_t lease_seconds;
    /**
     * The other settings as a JSON object (`schedule`, `retry`, `concurrency`, …; the guide lists them), or NULL.
     */
    const char *extra_json;
} migrate_config;

/**
 * Gets an event, as JSON. `event` is the library's, and valid until the callback returns.
 *
 * Runs on a thread of the library made for it, one call at a time, with no lock held. It may take its time (events that
 * are then dropped show as a jump of `seq`), and may make calls that do not wait.
 */
typedef void (*migrate_event_fn)(const char *event, void *user);

/**
 * Gets a line of the log. `target` is the part of the library, `message` what it says, without a line's end and
 * without secrets; both are the library's, and valid until the callback returns.
 *
 * Runs on a thread of the library made for it, one call at a time, with no lock held. It may take its time (lines
 * beyond 4096 that wait are dropped), and may make calls that do not wait.
 */
typedef void (*migrate_log_fn)(migrate_log_level level, const char *target, const char *message, void *user);

/**
 * What a cycle is to do. Set all to zero, then `struct_size` to its size, then what is wanted.
 */
typedef struct {
    /**
     * sizeof(migrate_cycle_settings).
     */
    size_t struct_size;
    /**
     * `delta`, `final` or `resync`. NULL: `delta`, which the first time is everything.
     */
    const char *kind;
    /**
     * The hypervisor's id of the source's moment, kept with the recovery point; or NULL.
     */
    const char *change_id;
    /**
     * Change list: the moment that it begins at, or NULL without one.
     */
    const char *changes_base;
    /**
     * Change list: the moment that it ends at, which becomes the `change_id`; or NULL without one.
     */
    const char *changes_end;
    /**
     * Change list: what changed in between, in any order. None: nothing.
     */
    const migrate_extent *changes;
    /**
     * How many there are.
     */
    size_t change_count;
    /**
     * Not 0: the source may change while it is read; the replica is then of no single moment.
     */
    int32_t moving;
    /**
     * The same and other settings as a JSON object (`changes` in the words of a hypervisor, …; the guide lists
     * them), or NULL.
     */
    const char *extra_json;
} migrate_cycle_settings;

/**
 * A disk that the program reads. Set all to zero, then `struct_size` to its size, then what is wanted.
 */
typedef struct {
    /**
     * sizeof(migrate_disk).
     */
    size_t struct_size;
    /**
     * Its size in bytes.
     */
    uint64_t size_bytes;
    /**
     * Which disk it is, or NULL.
     */
    const char *identity;
    /**
     * Which moment of the disk it is (the name of a snapshot): an interrupted cycle goes on only at the same one.
     * NULL: it may change while it is read.
     */
    const char *point;
    /**
     * What is known to read as zero, in any order.
     */
    const migrate_extent *zero;
    /**
     * How many there are.
     */
    size_t zero_count;
    /**
     * How many reads it takes at once, for migrate_source_served. 0: 4.
     */
    uint32_t max_in_flight;
    /**
     * The same and other settings as a JSON object, or NULL.
     */
    const char *extra_json;
} migrate_disk;

/**
 * Reads `len` bytes of the disk at `offset` into `buffer`: all of them.
 *
 * Returns 0, or anything else if it cannot, with the reason, if it likes, in `problem` (at most `problem_size` bytes
 * with its zero byte); the run ends with source.custom and that reason. The buffer is the library's, and
 * used by the callback until it returns.
 *
 * Runs on threads of the library made for it, as many at once as `max_in_flight`. It may take its time, and may make
 * calls that do not wait.
 */
typedef int (*migrate_read_fn)(void *user,
                               uint64_t offset,
                               void *buffer,
                               size_t len,
                               char *problem,
                               size_t problem_size);

/**
 * Tells that no callback will get `user` again. Runs once, on a thread of the library.
 */
typedef void (*migrate_ended_fn)(void *user);

/**
 * The callbacks of a served source.
 */
typedef struct {
    /**
     * sizeof(migrate_reader).
     */
    size_t struct_size;
    /**
     * What the callbacks get.
     */
    void *user;
    /**
     * Reads.
     */
    migrate_read_fn read;
    /**
     * Runs when nothing reads the disk any more: the source is freed, and so are the replicas' runs that used it. Or
     * NULL.
     */
    migrate_ended_fn ended;
} migrate_reader;

/**
 * Gets a token for `scope`: writes it to `token` (at most `token_size` bytes with its zero byte), and the second since
 * 1970 at which it expires to `expires_on`. It is asked for seldom: a token is kept until shortly before its end.
 *
 * Returns 0, or anything else if there is none, with the reason, if it likes, in `problem` (at most `problem_size`
 * bytes with its zero byte); the reason must hold no secret.
 *
 * Runs on a thread of the library made for it, one call at a time. It may take its time, and may make calls that do
 * not wait.
 */
typedef int (*migrate_token_fn)(void *user,
                                const char *scope,
                                char *token,
                                size_t token_size,
                                int64_t *expires_on,
                                char *problem,
                                size_t problem_size);

/**
 * The callbacks of a token.
 */
typedef struct {
    /**
     * sizeof(migrate_token_source).
     */
    size_t struct_size;
    /**
     * What the callbacks get.
     */
    void *user;
    /**
     * Gets a token.
     */
    migrate_token_fn get;
    /**
     * Runs when no target uses the token any more, or NULL.
     */
    migrate_ended_fn ended;
} migrate_token_source;

/**
 * A page blob to replicate to. Set all to zero, then `struct_size` to its size, then what is wanted.
 */
typedef struct {
    /**
     * sizeof(migrate_blob).
     */
    size_t struct_size;
    /**
     * Its URL, with or without a shared access signature.
     */
    const char *url;
    /**
     * A shared access signature, or NULL: it is in the URL, a token is given, or extra_json has a `credential`.
     */
    const char *sas;
    /**
     * File of more certificates to trust, in PEM, or NULL.
     */
    const char *ca_file;
    /**
     * `environment` or a URL; NULL for none.
     */
    const char *proxy;
    /**
     * Not 0: bytes may go over the internet. 0: only over a private endpoint.
     */
    int32_t allow_public_route;
    /**
     * The other settings as a JSON object (`credential`, `private_link`, `max_in_flight`; the guide lists them), or
     * NULL.
     */
    const char *extra_json;
} migrate_blob;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that is loaded, as `0.1.0`.
 *
 * Owner: the library; valid for ever. Thread-safe.
 */
const char *migrate_version(void);

/**
 * How many handles of the whole process are not freed: 0 at the end of a program that forgets none. Errors count.
 * Thread-safe.
 */
size_t migrate_handle_count(void);

/**
 * Frees a text that a call made, and sets the variable to NULL. Nothing happens if `text` or what it points to is
 * NULL. A text is memory and no handle: a second copy of its pointer must not be freed. Thread-safe.
 */
void migrate_text_free(char **text);

/**
 * Asks the control plane's model one thing: JSON in, JSON out. Pure: nothing is sent, and the same input gives the
 * same answer. The guide's page for C lists the functions.
 *
 * `input` may be NULL. `answer` is the caller's, to be freed by migrate_text_free. Errors: call.argument.
 * Never waits. Thread-safe.
 */
migrate_status migrate_control(const char *function,
                               const char *input,
                               char **answer,
                               migrate_error **error);

/**
 * Gives the next extent to push, in bytes of the source: MIGRATE_OK, or MIGRATE_DONE when all were given. After a
 * crash only what is still missing comes. At most 1 GiB is given out ahead of what was pushed. MIGRATE_NOT_YET after
 * `timeout_ms` (negative: no limit): call again.
 *
 * Errors: call.*, cycle.*, target.*. Waits. Thread-safe: each extent is given once.
 */
migrate_status migrate_cycle_next(migrate_cycle *cycle,
                                  migrate_extent *extent,
                                  int64_t timeout_ms,
                                  migrate_error **error);

/**
 * The same as a job, whose result migrate_job_extent takes. An extent that is not taken from its job is not given
 * again in this cycle, which then cannot be sealed.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_cycle_next_start(migrate_cycle *cycle,
                                        migrate_job **job,
                                        migrate_error **error);

/**
 * Pushes the bytes of an extent that migrate_cycle_next gave, whole, in any order. They are not copied.
 *
 * MIGRATE_OK: the library has the buffer, which must stay as it is until `release` gets it, once, whatever becomes of
 * the cycle; that may be before this returns. MIGRATE_WOULD_BLOCK (the memory limit is reached; try again after
 * migrate_cycle_wait) and MIGRATE_ERROR: the buffer is still the caller's, and `release` does not run.
 *
 * Errors: call.argument, call.closed, cycle.not_wanted (no extent that was given, or not its length), cycle.*. What goes
 * wrong with the bytes later is told by the next call. Never waits, and may be called in a callback. Thread-safe.
 */
migrate_status migrate_cycle_push(migrate_cycle *cycle,
                                  uint64_t offset,
                                  void *buffer,
                                  size_t len,
                                  migrate_release_fn release,
                                  void *user,
                                  migrate_error **error);

/**
 * Waits until there is room for another push: MIGRATE_OK, or MIGRATE_NOT_YET after `timeout_ms` (negative: no
 * limit). Another thread may be faster.
 *
 * Errors: call.*, cycle.*. Thread-safe.
 */
migrate_status migrate_cycle_wait(migrate_cycle *cycle, int64_t timeout_ms, migrate_error **error);

/**
 * The same as a job, whose result migrate_job_result takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_cycle_wait_start(migrate_cycle *cycle,
                                        migrate_job **job,
                                        migrate_error **error);

/**
 * Reads everything that the cycle wants from `source`, which must be the one it was begun with.
 *
 * Errors: call.*, cycle.*, source.*, target.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit).
 * Thread-safe.
 */
migrate_status migrate_cycle_copy_from(migrate_cycle *cycle,
                                       const migrate_source *source,
                                       int64_t timeout_ms,
                                       migrate_error **error);

/**
 * The same as a job, whose result migrate_job_result takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_cycle_copy_from_start(migrate_cycle *cycle,
                                             const migrate_source *source,
                                             migrate_job **job,
                                             migrate_error **error);

/**
 * Makes the cycle a recovery point, once everything that was pushed has settled. Nothing counts before this. The
 * cycle is closed by it, whatever comes of it. MIGRATE_NOT_YET after `timeout_ms` (negative: no limit): it goes on,
 * and the next call waits on.
 *
 * `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, cycle.incomplete, cycle.*, target.*.
 * Thread-safe.
 */
migrate_status migrate_cycle_seal(migrate_cycle *cycle,
                                  int64_t timeout_ms,
                                  migrate_point **point,
                                  migrate_error **error);

/**
 * The same as a job, whose result migrate_job_point takes; cancelling it stops the cycle unsealed.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_cycle_seal_start(migrate_cycle *cycle,
                                        migrate_job **job,
                                        migrate_error **error);

/**
 * Stops the cycle without sealing it: calls that wait for it end with cycle.cancelled within a second. What has
 * settled stays, and the next cycle at the same moment of the source goes on from there. Safe to repeat.
 *
 * Errors: call.argument, call.closed. Never waits, and may be called in a callback. Thread-safe.
 */
migrate_status migrate_cycle_stop(migrate_cycle *cycle,
                                  migrate_error **error);

/**
 * Frees a cycle, which stops it unless it is sealed, and sets the variable to NULL. Buffers that are on their way
 * come back by their callbacks all the same. Nothing happens if `cycle` or what it points to is NULL or freed. Never
 * waits. Thread-safe.
 */
void migrate_cycle_free(migrate_cycle **cycle);

/**
 * Opens an engine. `config` may be NULL.
 *
 * `engine` is the caller's, to be freed by migrate_engine_free. Errors: call.argument, call.threads, engine.option,
 * schedule.*. Never waits for the network. Thread-safe.
 */
migrate_status migrate_engine_open(const migrate_config *config,
                                   migrate_engine **engine,
                                   migrate_error **error);

/**
 * Cancels everything that is under way, ends the engine's threads, and waits until every buffer that was pushed is
 * back with its owner. From then on all that was opened with it answers call.closed. Safe to repeat.
 *
 * MIGRATE_NOT_YET: after `timeout_ms` not every buffer is back, because a request or a callback hangs; the engine is
 * closed all the same. Errors: call.closed (freed), call.forked, call.reentered (in a callback). Waits for at most
 * about `timeout_ms` (negative: without limit). Thread-safe.
 */
migrate_status migrate_engine_close(migrate_engine *engine,
                                    int64_t timeout_ms,
                                    migrate_error **error);

/**
 * Frees an engine's handle and sets the variable to NULL. Nothing happens if `engine` or what it points to is NULL
 * or freed. The engine lives on while something that was opened with it does; without those, what is under way is
 * cancelled. Never waits: to know that every buffer is back, close it first. Thread-safe.
 */
void migrate_engine_free(migrate_engine **engine);

/**
 * Changes the limit on what is sent, in bytes per second, while running; 0 lifts it.
 *
 * Errors: call.argument, call.closed, call.forked. Never waits. Thread-safe.
 */
migrate_status migrate_engine_set_bytes_per_second(migrate_engine *engine,
                                                   uint64_t bytes_per_second,
                                                   migrate_error **error);

/**
 * Changes the times at which another limit holds, while running: JSON, as the guide's page on limits has it; NULL is
 * none.
 *
 * Errors: call.argument, call.closed, call.forked, schedule.*. Never waits. Thread-safe.
 */
migrate_status migrate_engine_set_schedule(migrate_engine *engine,
                                           const char *schedule,
                                           migrate_error **error);

/**
 * Checks the network to each target: what its name resolves to, whether that is the private endpoint, whether a
 * connection opens and who answers. `settings` is JSON: `targets` (each `{"host", "port", "expect"}`),
 * `time_limit_seconds`, `name_servers`, `also_private`, `ca_file`. The report is JSON; what is wrong is a finding in
 * it, and no error.
 *
 * `report` is the caller's, to be freed by migrate_text_free. Errors: call.*. Waits; MIGRATE_TIMED_OUT after
 * `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_preflight_network(migrate_engine *engine,
                                         const char *settings,
                                         int64_t timeout_ms,
                                         char **report,
                                         migrate_error **error);

/**
 * The same as a job, whose result migrate_job_text takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_preflight_network_start(migrate_engine *engine,
                                               const char *settings,
                                               migrate_job **job,
                                               migrate_error **error);

/**
 * The error's code, `area.what`: stable, and each has a section in the guide's catalogue of errors.
 *
 * Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
 */
const char *migrate_error_code(const migrate_error *error);

/**
 * Whose turn it is. MIGRATE_KIND_NONE if `error` is no error. Thread-safe.
 */
migrate_error_kind migrate_error_kind_of(const migrate_error *error);

/**
 * Whether the same call may succeed later without any change. False if `error` is no error. Thread-safe.
 */
bool migrate_error_retryable(const migrate_error *error);

/**
 * What failed, on what, and why.
 *
 * Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
 */
const char *migrate_error_message(const migrate_error *error);

/**
 * What to do.
 *
 * Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
 */
const char *migrate_error_remedy(const migrate_error *error);

/**
 * How many causes it has. 0 if `error` is no error. Thread-safe.
 */
size_t migrate_error_cause_count(const migrate_error *error);

/**
 * One of its causes, the nearest first.
 *
 * Owner: the error; valid until it is freed. NULL if there is none of that number. Thread-safe.
 */
const char *migrate_error_cause(const migrate_error *error, size_t index);

/**
 * All of it as JSON: `code`, `kind`, `retryable`, `message`, `remedy`, `causes`.
 *
 * Owner: the error; valid until it is freed. NULL if `error` is no error. Thread-safe.
 */
const char *migrate_error_json(const migrate_error *error);

/**
 * Frees an error, and its texts with it, and sets the variable to NULL. Nothing happens if `error` or what it points
 * to is NULL or freed. Thread-safe.
 */
void migrate_error_free(migrate_error **error);

/**
 * Opens a reader of an engine's events: those of all its replicas that came after the one numbered `after` (0: from
 * the oldest that is kept).
 *
 * `events` is the caller's, to be freed by migrate_events_free. Errors: call.*. Never waits. Thread-safe.
 */
migrate_status migrate_events_open(migrate_engine *engine,
                                   uint64_t after,
                                   migrate_events **events,
                                   migrate_error **error);

/**
 * Gives the next event as JSON: MIGRATE_OK; MIGRATE_NOT_YET if there is none within `timeout_ms` (negative: no limit,
 * 0: it does not wait); MIGRATE_DONE when the engine is closed and all were read. A `seq` that jumps says that older
 * ones are gone.
 *
 * `event` is the caller's, to be freed by migrate_text_free. Errors: call.*. In a callback only with 0. Thread-safe.
 */
migrate_status migrate_events_next(migrate_events *events,
                                   int64_t timeout_ms,
                                   char **event,
                                   migrate_error **error);

#if defined(MIGRATE_HAS_FD)
/**
 * A file descriptor that is readable when there may be an event to take, or the engine is closed. Then call
 * migrate_events_next with 0 until it returns anything but MIGRATE_OK. Only wait for it; do not read, write or close
 * it. Unix only.
 *
 * Owner: the reader; valid until it is freed. Errors: call.*. Never waits. Thread-safe.
 */
migrate_status migrate_events_fd(migrate_events *events,
                                 int *fd,
                                 migrate_error **error);
#endif

/**
 * Hands each event to `callback` from now on, until the reader is freed or the engine is closed. Do not take events
 * from the same reader otherwise.
 *
 * Errors: call.argument (also if it has a callback), call.closed, call.threads. Never waits. Thread-safe.
 */
migrate_status migrate_events_call(migrate_events *events,
                                   migrate_event_fn callback,
                                   void *user,
                                   migrate_error **error);

/**
 * Frees a reader and sets the variable to NULL. What was told before is handed to its callback, if it has one, and
 * once this returns, that does not run and will not; in a callback this does not wait, and one more may run. Nothing
 * happens if `events` or what it points to is NULL or freed. Waits for its callback. Thread-safe.
 */
void migrate_events_free(migrate_events **events);

#if defined(MIGRATE_HAS_FD)
/**
 * A file descriptor that becomes readable when the job has ended, and stays so: for poll, epoll, select and the
 * loops on top of them. Only wait for it; do not read, write or close it. Unix only.
 *
 * Owner: the job; valid until it is freed. Errors: call.argument, call.closed. Never waits. Thread-safe.
 */
migrate_status migrate_job_fd(migrate_job *job,
                              int *fd,
                              migrate_error **error);
#endif

/**
 * Whether the job has ended, well or not: MIGRATE_OK or MIGRATE_NOT_YET.
 *
 * Errors: call.argument, call.closed. Never waits. Thread-safe.
 */
migrate_status migrate_job_poll(migrate_job *job, migrate_error **error);

/**
 * Waits until the job has ended, well or not: MIGRATE_OK, or MIGRATE_NOT_YET after `timeout_ms` (negative: no
 * limit). The result is still to be taken. Several threads may wait for one job.
 *
 * Errors: call.argument, call.closed, call.reentered (in a callback). Thread-safe.
 */
migrate_status migrate_job_wait(migrate_job *job, int64_t timeout_ms, migrate_error **error);

/**
 * Asks the job to end; it does within a second, with the error cycle.cancelled unless it was done before.
 *
 * Errors: call.argument, call.closed. Never waits, and may be called in a callback, but not in a signal handler.
 * Thread-safe.
 */
migrate_status migrate_job_cancel(migrate_job *job,
                                  migrate_error **error);

/**
 * Takes the result of a job that opens a source, once. MIGRATE_NOT_YET while it has not ended.
 *
 * On MIGRATE_OK the source is the caller's, to be freed by migrate_source_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
 * Never waits. Thread-safe.
 */
migrate_status migrate_job_source(migrate_job *job,
                                  migrate_source **source,
                                  migrate_error **error);

/**
 * Takes the result of a job that opens a replica, once. MIGRATE_NOT_YET while it has not ended.
 *
 * On MIGRATE_OK the replica is the caller's, to be freed by migrate_replica_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
 * Never waits. Thread-safe.
 */
migrate_status migrate_job_replica(migrate_job *job,
                                   migrate_replica **replica,
                                   migrate_error **error);

/**
 * Takes the result of a job that begins a cycle, once. MIGRATE_NOT_YET while it has not ended.
 *
 * On MIGRATE_OK the cycle is the caller's, to be freed by migrate_cycle_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
 * Never waits. Thread-safe.
 */
migrate_status migrate_job_cycle(migrate_job *job,
                                 migrate_cycle **cycle,
                                 migrate_error **error);

/**
 * Takes the result of a job that seals a recovery point, once. MIGRATE_NOT_YET while it has not ended.
 *
 * On MIGRATE_OK the point is the caller's, to be freed by migrate_point_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
 * Never waits. Thread-safe.
 */
migrate_status migrate_job_point(migrate_job *job,
                                 migrate_point **point,
                                 migrate_error **error);

/**
 * Takes the result of a job that verifies, once. MIGRATE_NOT_YET while it has not ended.
 *
 * On MIGRATE_OK the report is the caller's, to be freed by migrate_report_free. Errors: the job's own; call.argument (a job of another kind), call.closed (taken before).
 * Never waits. Thread-safe.
 */
migrate_status migrate_job_report(migrate_job *job,
                                  migrate_report **report,
                                  migrate_error **error);

/**
 * Takes the result of a job that gives a text, once. MIGRATE_NOT_YET while it has not ended.
 *
 * On MIGRATE_OK the text is the caller's, to be freed by migrate_text_free. Errors: the job's own; call.argument (a
 * job of another kind), call.closed (taken before). Never waits. Thread-safe.
 */
migrate_status migrate_job_text(migrate_job *job,
                                char **text,
                                migrate_error **error);

/**
 * Takes the result of migrate_cycle_next_start, once: MIGRATE_OK and an extent to push, or MIGRATE_DONE when there is
 * none left. MIGRATE_NOT_YET while it has not ended.
 *
 * Errors: the job's own; call.argument (a job of another kind), call.closed (taken before). Never waits. Thread-safe.
 */
migrate_status migrate_job_extent(migrate_job *job,
                                  migrate_extent *extent,
                                  migrate_error **error);

/**
 * Takes the result of a job that gives a number, once. MIGRATE_NOT_YET while it has not ended.
 *
 * Errors: the job's own; call.argument (a job of another kind), call.closed (taken before). Never waits. Thread-safe.
 */
migrate_status migrate_job_number(migrate_job *job,
                                  uint64_t *number,
                                  migrate_error **error);

/**
 * How a job ended that gives nothing but that. MIGRATE_NOT_YET while it has not ended.
 *
 * Errors: the job's own; call.argument (a job of another kind), call.closed (taken before). Never waits. Thread-safe.
 */
migrate_status migrate_job_result(migrate_job *job,
                                  migrate_error **error);

/**
 * Frees a job, which cancels it, and sets the variable to NULL. A result that was not taken is freed with it.
 * Nothing happens if `job` or what it points to is NULL or freed. Never waits. Thread-safe.
 */
void migrate_job_free(migrate_job **job);

/**
 * Hands each line of the log to `callback`: those of `level` (a migrate_log_level) and the more important ones. There
 * is one log in a process; one that was set before is closed first. NULL closes it: what was logged before is handed
 * over, and once this returns, the callback does not run and will not. Without a callback nothing is logged; nothing
 * is ever written to standard output or standard error.
 *
 * Errors: call.argument, call.log_open (another part of the process has it), call.reentered (in a callback),
 * call.threads. Waits for the callback, if one runs. Thread-safe.
 */
migrate_status migrate_log_set(int32_t level,
                               migrate_log_fn callback,
                               void *user,
                               migrate_error **error);

/**
 * Opens the control plane of a migration: JSON with `settings` (the guide's page on plans describes them) and
 * `connection` (`{"proxy", "ca_file"}`). `token` is who asks. Sends nothing.
 *
 * `project` is the caller's, to be freed by migrate_project_free. Errors: call.*, arm.*, settings.*. Never waits.
 * Thread-safe.
 */
migrate_status migrate_project_open(migrate_engine *engine,
                                    const char *settings,
                                    const migrate_token *token,
                                    migrate_project **project,
                                    migrate_error **error);

/**
 * Asks the control plane for one thing: JSON in (NULL is none), JSON out.
 *
 * `preflight` (`{"network", "name_servers"}`) gives what is wrong, a list of findings. `plan` (`{"goal"}`) gives the
 * plan that leads there, `ask` (`{"verb"}`) the one that asks one thing of each server, `template` (`{"plan"}`) what of
 * a plan a template can make, `hosts_lines` lines of a hosts file. `apply` (`{"plan", "journal", "approvals"}`) does
 * what can be done now, and goes on from its journal when it was killed. `cutover` makes a machine of sealed replicas,
 * without the service (the guide's page on that has its input). Only these two change anything.
 *
 * `answer` is the caller's, to be freed by migrate_text_free. Errors: call.*, arm.*, plan.*, cutover.*. Waits; MIGRATE_TIMED_OUT
 * after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_project_ask(migrate_project *project,
                                   const char *function,
                                   const char *input,
                                   int64_t timeout_ms,
                                   char **answer,
                                   migrate_error **error);

/**
 * The same as a job, whose result migrate_job_text takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_project_ask_start(migrate_project *project,
                                         const char *function,
                                         const char *input,
                                         migrate_job **job,
                                         migrate_error **error);

/**
 * The next thing that `apply` told of, as JSON, oldest first: MIGRATE_OK, or MIGRATE_DONE if there is none now. The
 * newest thousand are kept.
 *
 * `told` is the caller's, to be freed by migrate_text_free. Errors: call.argument, call.closed. Never waits.
 * Thread-safe.
 */
migrate_status migrate_project_next(migrate_project *project,
                                    char **told,
                                    migrate_error **error);

/**
 * Frees a project's handle and sets the variable to NULL. Nothing happens if `project` or what it points to is NULL
 * or freed. Never waits. Thread-safe.
 */
void migrate_project_free(migrate_project **project);

/**
 * Opens the replica at `target`, or makes it for the disk `source`. When another writer holds it, this waits for the
 * term of its lease and a little more, then fails with target.lease_held.
 *
 * `replica` is the caller's, to be freed by migrate_replica_free. Errors: call.*, checkpoint.*, replica.*, target.*.
 * Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_open(migrate_engine *engine,
                                    const migrate_target *target,
                                    const migrate_source *source,
                                    int64_t timeout_ms,
                                    migrate_replica **replica,
                                    migrate_error **error);

/**
 * The same as a job, whose result migrate_job_replica takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_open_start(migrate_engine *engine,
                                          const migrate_target *target,
                                          const migrate_source *source,
                                          migrate_job **job,
                                          migrate_error **error);

/**
 * The same, but breaks the lease of another writer instead of waiting for it: for an owner that hangs. No write of the
 * other can land from then on.
 *
 * `replica` is the caller's, to be freed by migrate_replica_free. Errors: call.*, checkpoint.*, replica.*, target.*.
 * Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_take_over(migrate_engine *engine,
                                         const migrate_target *target,
                                         const migrate_source *source,
                                         int64_t timeout_ms,
                                         migrate_replica **replica,
                                         migrate_error **error);

/**
 * The same as a job, whose result migrate_job_replica takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_take_over_start(migrate_engine *engine,
                                               const migrate_target *target,
                                               const migrate_source *source,
                                               migrate_job **job,
                                               migrate_error **error);

/**
 * Where it is, without secrets.
 *
 * Owner: the replica's handle; valid until it is freed. NULL if `replica` is no replica. Thread-safe.
 */
const char *migrate_replica_location(const migrate_replica *replica);

/**
 * Its size in bytes: the source's, rounded up to whole MiB.
 *
 * Errors: call.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_disk_bytes(migrate_replica *replica,
                                          int64_t timeout_ms,
                                          uint64_t *bytes,
                                          migrate_error **error);

/**
 * The same as a job, whose result migrate_job_number takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_disk_bytes_start(migrate_replica *replica,
                                                migrate_job **job,
                                                migrate_error **error);

/**
 * Brings the replica in step with `source` and seals a recovery point. Safe to repeat: an interrupted cycle goes on, a
 * sealed one is followed by a delta. `settings` may be NULL.
 *
 * `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, change_list.*, cycle.*, source.*,
 * target.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_replicate(migrate_replica *replica,
                                         const migrate_source *source,
                                         const migrate_cycle_settings *settings,
                                         int64_t timeout_ms,
                                         migrate_point **point,
                                         migrate_error **error);

/**
 * The same as a job, whose result migrate_job_point takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_replicate_start(migrate_replica *replica,
                                               const migrate_source *source,
                                               const migrate_cycle_settings *settings,
                                               migrate_job **job,
                                               migrate_error **error);

/**
 * Begins a cycle whose bytes the program pushes, or goes on with the interrupted one at the same moment of the source.
 * `settings` may be NULL.
 *
 * `cycle` is the caller's, to be freed by migrate_cycle_free. Errors: call.*, change_list.*, cycle.*, target.*.
 * Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_begin(migrate_replica *replica,
                                     const migrate_source *source,
                                     const migrate_cycle_settings *settings,
                                     int64_t timeout_ms,
                                     migrate_cycle **cycle,
                                     migrate_error **error);

/**
 * The same as a job, whose result migrate_job_cycle takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_begin_start(migrate_replica *replica,
                                           const migrate_source *source,
                                           const migrate_cycle_settings *settings,
                                           migrate_job **job,
                                           migrate_error **error);

/**
 * Compares the replica with `source`, or, if that is NULL, with its own sealed digest map. A difference is no error.
 * `settings` is JSON or NULL: `subject` (`"newest"`, `{"cycle": n}` or `"live"`) and `sample` (`{"damaged_share",
 * "may_miss", "seed"}`).
 *
 * `report` is the caller's, to be freed by migrate_report_free. Errors: call.*, source.*, target.*, verify.*. Waits;
 * MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_verify(migrate_replica *replica,
                                      const migrate_source *source,
                                      const char *settings,
                                      int64_t timeout_ms,
                                      migrate_report **report,
                                      migrate_error **error);

/**
 * The same as a job, whose result migrate_job_report takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_verify_start(migrate_replica *replica,
                                            const migrate_source *source,
                                            const char *settings,
                                            migrate_job **job,
                                            migrate_error **error);

/**
 * All recovery points, oldest first, as a JSON list.
 *
 * `points` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
 * after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_recovery_points(migrate_replica *replica,
                                               int64_t timeout_ms,
                                               char **points,
                                               migrate_error **error);

/**
 * The same as a job, whose result migrate_job_text takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_recovery_points_start(migrate_replica *replica,
                                                     migrate_job **job,
                                                     migrate_error **error);

/**
 * Every cycle that was sealed here, oldest first, as a JSON list: also of recovery points that are deleted.
 *
 * `cycles` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
 * after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_history(migrate_replica *replica,
                                       int64_t timeout_ms,
                                       char **cycles,
                                       migrate_error **error);

/**
 * The same as a job, whose result migrate_job_text takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_history_start(migrate_replica *replica,
                                             migrate_job **job,
                                             migrate_error **error);

/**
 * Deletes the recovery points that a rule does not keep, then the garbage: a JSON list of the cycles deleted. `rule` is
 * JSON: `newest`, how many, and `younger_than_seconds`.
 *
 * `deleted` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
 * after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_prune(migrate_replica *replica,
                                     const char *rule,
                                     int64_t timeout_ms,
                                     char **deleted,
                                     migrate_error **error);

/**
 * The same as a job, whose result migrate_job_text takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_prune_start(migrate_replica *replica,
                                           const char *rule,
                                           migrate_job **job,
                                           migrate_error **error);

/**
 * Takes the replica back to the recovery point of `cycle`, which becomes a new one.
 *
 * `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, replica.*, target.*. Waits;
 * MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_roll_back(migrate_replica *replica,
                                         uint32_t cycle,
                                         int64_t timeout_ms,
                                         migrate_point **point,
                                         migrate_error **error);

/**
 * The same as a job, whose result migrate_job_point takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_roll_back_start(migrate_replica *replica,
                                               uint32_t cycle,
                                               migrate_job **job,
                                               migrate_error **error);

/**
 * Writes the proof of a recovery point to a file, whole or not at all. `settings` are those of migrate_replica_verify.
 *
 * `point` is the caller's, to be freed by migrate_point_free. Errors: call.*, target.*, verify.*. Waits;
 * MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_export_proof(migrate_replica *replica,
                                            const char *path,
                                            const char *settings,
                                            int64_t timeout_ms,
                                            migrate_point **point,
                                            migrate_error **error);

/**
 * The same as a job, whose result migrate_job_point takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_export_proof_start(migrate_replica *replica,
                                                  const char *path,
                                                  const char *settings,
                                                  migrate_job **job,
                                                  migrate_error **error);

/**
 * Lists what lies at the target and nothing needs any more, as a JSON list, and deletes nothing.
 *
 * `garbage` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
 * after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_garbage(migrate_replica *replica,
                                       int64_t timeout_ms,
                                       char **garbage,
                                       migrate_error **error);

/**
 * The same as a job, whose result migrate_job_text takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_garbage_start(migrate_replica *replica,
                                             migrate_job **job,
                                             migrate_error **error);

/**
 * Deletes what migrate_replica_garbage lists, and lists it.
 *
 * `garbage` is the caller's, to be freed by migrate_text_free. Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT
 * after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_collect_garbage(migrate_replica *replica,
                                               int64_t timeout_ms,
                                               char **garbage,
                                               migrate_error **error);

/**
 * The same as a job, whose result migrate_job_text takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_collect_garbage_start(migrate_replica *replica,
                                                     migrate_job **job,
                                                     migrate_error **error);

/**
 * Cancels what is under way at this replica, and gives its lease up, so that another writer need not wait. What was
 * settled stays; an open cycle is not sealed. From then on the replica answers call.closed. Safe to repeat.
 *
 * Errors: call.*, target.*. Waits; MIGRATE_TIMED_OUT after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_replica_close(migrate_replica *replica,
                                     int64_t timeout_ms,
                                     migrate_error **error);

/**
 * The same as a job, whose result migrate_job_result takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_replica_close_start(migrate_replica *replica,
                                           migrate_job **job,
                                           migrate_error **error);

/**
 * Frees a replica's handle and sets the variable to NULL. Without migrate_replica_close its lease runs out by itself,
 * once cycles and jobs of it are freed too. Nothing happens if `replica` or what it points to is NULL or freed. Never
 * waits. Thread-safe.
 */
void migrate_replica_free(migrate_replica **replica);

/**
 * Number of its cycle; grows by one with each. 0 if `point` is no point. Thread-safe.
 */
uint32_t migrate_point_cycle(const migrate_point *point);

/**
 * Kind of its cycle: `initial`, `delta`, `final`, `resync`, …
 *
 * Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
 */
const char *migrate_point_kind(const migrate_point *point);

/**
 * Root of its digest tree: what the disk is, in 64 hexadecimal digits.
 *
 * Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
 */
const char *migrate_point_root(const migrate_point *point);

/**
 * The id of the source's moment, from which the next change list goes on; NULL if none was given.
 *
 * Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
 */
const char *migrate_point_change_id(const migrate_point *point);

/**
 * When it was sealed, by this machine's clock, in RFC 3339.
 *
 * Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
 */
const char *migrate_point_sealed_at(const migrate_point *point);

/**
 * Size of the replica's disk in bytes: the source's, rounded up to whole MiB. 0 if `point` is no point. Thread-safe.
 */
uint64_t migrate_point_disk_bytes(const migrate_point *point);

/**
 * What its cycle came to, by name: `read`, `hole`, `unlisted`, `sent`, `cleared`, `skipped`, `hole_cleared` (bytes),
 * `puts`, `clears` (requests). 0 if `point` is no point, or there is no count of that name. Thread-safe.
 */
uint64_t migrate_point_count(const migrate_point *point,
                             const char *name);

/**
 * All of it as JSON.
 *
 * Owner: the point; valid until it is freed. NULL if `point` is no point. Thread-safe.
 */
const char *migrate_point_json(const migrate_point *point);

/**
 * Frees a point, and its texts with it, and sets the variable to NULL; the recovery point at the target stays.
 * Nothing happens if `point` or what it points to is NULL or freed. Thread-safe.
 */
void migrate_point_free(migrate_point **point);

/**
 * Whether nothing differs. False if `report` is no report. Thread-safe.
 */
bool migrate_report_equal(const migrate_report *report);

/**
 * How many blocks differ (the footer counts as one). 0 if `report` is no report: ask migrate_report_equal. Thread-safe.
 */
uint64_t migrate_report_mismatched(const migrate_report *report);

/**
 * How many blocks were compared. 0 if `report` is no report. Thread-safe.
 */
uint64_t migrate_report_compared(const migrate_report *report);

/**
 * All of it as JSON, with where the differences are.
 *
 * Owner: the report; valid until it is freed. NULL if `report` is no report. Thread-safe.
 */
const char *migrate_report_json(const migrate_report *report);

/**
 * Frees a report, and its text with it, and sets the variable to NULL. Nothing happens if `report` or what it points
 * to is NULL or freed. Thread-safe.
 */
void migrate_report_free(migrate_report **report);

/**
 * Opens a disk by JSON: an object with `path` (an image or a device; with `format`, `allow`, `member`, `snapshot`,
 * `bitmap`) or `nbd` (a URI; with `ca_file`, `bitmap`, `identity`, `max_read_bytes`), and for both `frozen_as` or
 * `may_change`.
 *
 * `source` is the caller's, to be freed by migrate_source_free. Errors: call.*, source.*. Waits; MIGRATE_TIMED_OUT
 * after `timeout_ms` (negative: no limit). Thread-safe.
 */
migrate_status migrate_source_open(migrate_engine *engine,
                                   const char *settings,
                                   int64_t timeout_ms,
                                   migrate_source **source,
                                   migrate_error **error);

/**
 * The same as a job, whose result migrate_job_source takes.
 *
 * `job` is the caller's, to be freed by migrate_job_free. Errors: call.*; the others with the result. Never waits.
 * Thread-safe.
 */
migrate_status migrate_source_open_start(migrate_engine *engine,
                                         const char *settings,
                                         migrate_job **job,
                                         migrate_error **error);

/**
 * A disk whose bytes the program pushes (migrate_cycle_push).
 *
 * `source` is the caller's, to be freed by migrate_source_free. Errors: call.argument. Never waits. Thread-safe.
 */
migrate_status migrate_source_pushed(const migrate_disk *disk,
                                     migrate_source **source,
                                     migrate_error **error);

/**
 * A disk that the program reads, by callbacks. What is to be sent is read into the buffer from which it is sent.
 *
 * `source` is the caller's, to be freed by migrate_source_free. After MIGRATE_OK, and only then, `ended` will run.
 * Errors: call.argument, call.threads. Never waits. Thread-safe.
 */
migrate_status migrate_source_served(const migrate_disk *disk,
                                     const migrate_reader *reader,
                                     migrate_source **source,
                                     migrate_error **error);

/**
 * Size of the disk in bytes. 0 if `source` is no source. Thread-safe.
 */
uint64_t migrate_source_size_bytes(const migrate_source *source);

/**
 * What it tells of itself as JSON: `size_bytes`, `identity` and `point` (or null), and `notes`: what its reader
 * worked around, a sentence each.
 *
 * `json` is the caller's, to be freed by migrate_text_free. Errors: call.argument, call.closed. Never waits.
 * Thread-safe.
 */
migrate_status migrate_source_json(const migrate_source *source,
                                   char **json,
                                   migrate_error **error);

/**
 * Frees a source's handle and sets the variable to NULL; runs that use it go on. Nothing happens if `source` or what
 * it points to is NULL or freed. Never waits. Thread-safe.
 */
void migrate_source_free(migrate_source **source);

/**
 * Makes a credential whose tokens the program gets.
 *
 * `token` is the caller's, to be freed by migrate_token_free at any time; targets that were opened with it keep what
 * they need. After MIGRATE_OK, and only then, `ended` will run. Errors: call.argument, call.threads. Never waits.
 * Thread-safe.
 */
migrate_status migrate_token_open(const migrate_token_source *callbacks,
                                  migrate_token **token,
                                  migrate_error **error);

/**
 * Frees a token's handle and sets the variable to NULL. Nothing happens if `token` or what it points to is NULL or
 * freed. Never waits. Thread-safe.
 */
void migrate_token_free(migrate_token **token);

/**
 * Opens a target by JSON: an object with `local` (path of a file) or `url` (of a page blob; with `credential`,
 * `private_link`, `proxy`, `ca_file`, `max_in_flight`). `token` is who gets tokens, or NULL.
 *
 * `target` is the caller's, to be freed by migrate_target_free. Errors: call.argument, target.*. Sends nothing, never
 * waits. Thread-safe.
 */
migrate_status migrate_target_open(const char *settings,
                                   const migrate_token *token,
                                   migrate_target **target,
                                   migrate_error **error);

/**
 * Opens the file at `path` as a target: the replica is a VHD file, its recovery points lie beside it.
 *
 * `target` is the caller's, to be freed by migrate_target_free. Errors: call.argument, target.*. Never waits.
 * Thread-safe.
 */
migrate_status migrate_target_local(const char *path, migrate_target **target, migrate_error **error);

/**
 * Opens a page blob as a target. `token` is who gets tokens, or NULL.
 *
 * `target` is the caller's, to be freed by migrate_target_free. Errors: call.argument, target.*. Sends nothing, never
 * waits. Thread-safe.
 */
migrate_status migrate_target_blob(const migrate_blob *blob,
                                   const migrate_token *token,
                                   migrate_target **target,
                                   migrate_error **error);

/**
 * Where it is, without secrets.
 *
 * Owner: the target; valid until it is freed. NULL if `target` is no target. Thread-safe.
 */
const char *migrate_target_location(const migrate_target *target);

/**
 * Frees a target's handle and sets the variable to NULL; replicas that were opened with it go on. Nothing happens if
 * `target` or what it points to is NULL or freed. Never waits. Thread-safe.
 */
void migrate_target_free(migrate_target **target);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* MIGRATE_H */
