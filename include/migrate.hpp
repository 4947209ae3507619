/*
 * libmigrate for C++17: migrate.h with values that free themselves, and exceptions.
 *
 * Header-only; link with libmigrate as a C program does. What a function does, which errors it has and on which thread
 * a callback runs stands in migrate.h, at the function of the same name.
 *
 * - A value (migrate::engine, migrate::replica, ...) owns a handle. It can be moved, not copied; empty after a move.
 * - An error is thrown as migrate::error. Time limits are std::chrono; migrate::no_limit waits however long it takes.
 * - A callback must not throw: what it throws ends in std::terminate, except in a reader's read and in a token's get,
 *   where it becomes the error of the run.
 */
#ifndef MIGRATE_HPP
#define MIGRATE_HPP

#include "migrate.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace migrate {

using milliseconds = std::chrono::milliseconds;

/// However long it takes.
inline constexpr milliseconds no_limit{-1};

/// A failure, with the same five things in every language.
class error : public std::runtime_error {
public:
    error(std::string code, migrate_error_kind kind, bool retryable, const std::string &message, std::string remedy,
          std::vector<std::string> causes, std::string json)
        : std::runtime_error(message), code_(std::move(code)), kind_(kind), retryable_(retryable),
          remedy_(std::move(remedy)), causes_(std::move(causes)), json_(std::move(json)) {}

    /// Takes what a call of C left, and frees it.
    static error taken(migrate_error *failed) {
        const auto text = [](const char *given) { return std::string(given == nullptr ? "" : given); };
        std::vector<std::string> causes;
        for (std::size_t at = 0; at < migrate_error_cause_count(failed); ++at) {
            causes.push_back(text(migrate_error_cause(failed, at)));
        }
        error made(text(migrate_error_code(failed)), migrate_error_kind_of(failed), migrate_error_retryable(failed),
                   text(migrate_error_message(failed)), text(migrate_error_remedy(failed)), std::move(causes),
                   text(migrate_error_json(failed)));
        migrate_error_free(&failed);
        return made;
    }

    /// Stable: `area.what`.
    const std::string &code() const noexcept { return code_; }
    /// Whose turn it is.
    migrate_error_kind kind() const noexcept { return kind_; }
    /// Whether the same call may succeed later without any change.
    bool retryable() const noexcept { return retryable_; }
    /// What to do.
    const std::string &remedy() const noexcept { return remedy_; }
    /// What it came from, nearest first.
    const std::vector<std::string> &causes() const noexcept { return causes_; }
    /// All of it as JSON.
    const std::string &json() const noexcept { return json_; }

private:
    std::string code_;
    migrate_error_kind kind_;
    bool retryable_;
    std::string remedy_;
    std::vector<std::string> causes_;
    std::string json_;
};

/// The time was up: what was under way was cancelled, and what has settled stays.
class timed_out : public std::runtime_error {
public:
    timed_out() : std::runtime_error("the time was up, and what was under way was cancelled") {}
};

namespace detail {

/// Throws what a call left; its status otherwise.
inline migrate_status check(migrate_status status, migrate_error *failed) {
    if (status == MIGRATE_ERROR) {
        throw error::taken(failed);
    }
    return status;
}

/// Makes a call with a place for its error. The call and the look at the error are two steps: in one expression their
/// order would be the compiler's to choose.
template <class Call> migrate_status call(Call &&make) {
    migrate_error *failed = nullptr;
    const migrate_status status = make(&failed);
    return check(status, failed);
}

/// The same for a call that must be done when it returns.
template <class Call> void finish(Call &&make) {
    if (call(std::forward<Call>(make)) == MIGRATE_TIMED_OUT) {
        throw timed_out();
    }
}

/// Takes a text of C, and frees it.
inline std::string take(char *text) {
    const std::unique_ptr<char, void (*)(char *)> owner(text, [](char *owned) { migrate_text_free(&owned); });
    return text == nullptr ? std::string() : std::string(text);
}

inline std::string copy(const char *text) { return text == nullptr ? std::string() : std::string(text); }

inline const char *or_null(const std::string &text) { return text.empty() ? nullptr : text.c_str(); }

/// A handle that frees itself.
template <class Handle, void (*Free)(Handle **)> class owner {
public:
    owner() = default;
    explicit owner(Handle *handle) noexcept : handle_(handle) {}
    owner(owner &&other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    owner &operator=(owner &&other) noexcept {
        if (this != &other) {
            Free(&handle_);
            handle_ = std::exchange(other.handle_, nullptr);
        }
        return *this;
    }
    owner(const owner &) = delete;
    owner &operator=(const owner &) = delete;
    ~owner() { Free(&handle_); }

    /// The handle of C, which stays this value's.
    Handle *get() const noexcept { return handle_; }
    explicit operator bool() const noexcept { return handle_ != nullptr; }
    /// Frees it now.
    void reset() noexcept { Free(&handle_); }

protected:
    Handle *handle_ = nullptr;
};

} // namespace detail

/// The version of the library that is loaded.
inline std::string version() { return detail::copy(migrate_version()); }

/// Asks the control plane's model one thing: JSON in, JSON out.
inline std::string control(const std::string &function, const std::string &input = {}) {
    char *answer = nullptr;
    detail::call([&](migrate_error **failed) { return migrate_control(function.c_str(), input.c_str(), &answer, failed); });
    return detail::take(answer);
}

/// Settings of an engine, all zero but its size.
inline migrate_config config() {
    migrate_config made{};
    made.struct_size = sizeof made;
    return made;
}

/// A page blob, all zero but its size.
inline migrate_blob blob() {
    migrate_blob made{};
    made.struct_size = sizeof made;
    return made;
}

/// A disk that the program reads, all zero but its size.
inline migrate_disk disk(std::uint64_t size_bytes, const char *point = nullptr) {
    migrate_disk made{};
    made.struct_size = sizeof made;
    made.size_bytes = size_bytes;
    made.point = point;
    return made;
}

/// What a cycle is to do, all zero but its size.
inline migrate_cycle_settings cycle_settings() {
    migrate_cycle_settings made{};
    made.struct_size = sizeof made;
    return made;
}

/// A recovery point.
class recovery_point : public detail::owner<migrate_point, migrate_point_free> {
public:
    using owner::owner;
    std::uint32_t cycle() const { return migrate_point_cycle(handle_); }
    std::string kind() const { return detail::copy(migrate_point_kind(handle_)); }
    std::string root() const { return detail::copy(migrate_point_root(handle_)); }
    /// None if none was given.
    std::optional<std::string> change_id() const {
        const char *id = migrate_point_change_id(handle_);
        return id == nullptr ? std::nullopt : std::optional<std::string>(id);
    }
    std::string sealed_at() const { return detail::copy(migrate_point_sealed_at(handle_)); }
    std::uint64_t disk_bytes() const { return migrate_point_disk_bytes(handle_); }
    std::uint64_t count(const std::string &name) const { return migrate_point_count(handle_, name.c_str()); }
    std::string json() const { return detail::copy(migrate_point_json(handle_)); }
};

/// What a verification found.
class report : public detail::owner<migrate_report, migrate_report_free> {
public:
    using owner::owner;
    bool equal() const { return migrate_report_equal(handle_); }
    std::uint64_t mismatched() const { return migrate_report_mismatched(handle_); }
    std::uint64_t compared() const { return migrate_report_compared(handle_); }
    std::string json() const { return detail::copy(migrate_report_json(handle_)); }
};

/// Gets a token for a scope: the token, and the second since 1970 at which it expires.
using get_token = std::function<std::pair<std::string, std::int64_t>(const std::string &scope)>;

/// Who gets tokens.
class token : public detail::owner<migrate_token, migrate_token_free> {
public:
    using owner::owner;
    explicit token(get_token get) {
        auto kept = std::make_unique<get_token>(std::move(get));
        migrate_token_source source{};
        source.struct_size = sizeof source;
        source.user = kept.get();
        source.get = [](void *user, const char *scope, char *out, std::size_t out_size, std::int64_t *expires_on,
                        char *problem, std::size_t problem_size) -> int {
            try {
                const auto answer = (*static_cast<get_token *>(user))(scope);
                if (answer.first.size() >= out_size) {
                    throw std::length_error("the token is too long");
                }
                std::memcpy(out, answer.first.c_str(), answer.first.size() + 1);
                *expires_on = answer.second;
                return 0;
            } catch (const std::exception &failed) {
                std::strncpy(problem, failed.what(), problem_size - 1);
            } catch (...) {
                std::strncpy(problem, "the callback threw something", problem_size - 1);
            }
            return 1;
        };
        source.ended = [](void *user) noexcept { delete static_cast<get_token *>(user); };
        detail::call([&](migrate_error **failed) { return migrate_token_open(&source, &handle_, failed); });
        static_cast<void>(kept.release());
    }
};

/// Where a replica goes.
class target : public detail::owner<migrate_target, migrate_target_free> {
public:
    using owner::owner;
    /// By JSON.
    explicit target(const std::string &settings, const token &who = token()) {
        detail::call([&](migrate_error **failed) {
            return migrate_target_open(settings.c_str(), who.get(), &handle_, failed);
        });
    }
    /// A page blob.
    explicit target(const migrate_blob &place, const token &who = token()) {
        detail::call([&](migrate_error **failed) { return migrate_target_blob(&place, who.get(), &handle_, failed); });
    }
    /// A file.
    static target local(const std::string &path) {
        target made;
        detail::call([&](migrate_error **failed) { return migrate_target_local(path.c_str(), &made.handle_, failed); });
        return made;
    }
    std::string location() const { return detail::copy(migrate_target_location(handle_)); }
};

/// Reads bytes of a disk, all of them; throws if it cannot.
using read_at = std::function<void(std::uint64_t offset, void *buffer, std::size_t len)>;

/// A disk.
class source : public detail::owner<migrate_source, migrate_source_free> {
public:
    using owner::owner;
    /// One whose bytes are pushed.
    static source pushed(const migrate_disk &of) {
        source made;
        detail::call([&](migrate_error **failed) { return migrate_source_pushed(&of, &made.handle_, failed); });
        return made;
    }
    /// One that the program reads, on threads of the library, several at once.
    static source served(const migrate_disk &of, read_at read) {
        auto kept = std::make_unique<read_at>(std::move(read));
        migrate_reader reader{};
        reader.struct_size = sizeof reader;
        reader.user = kept.get();
        reader.read = [](void *user, std::uint64_t offset, void *buffer, std::size_t len, char *problem,
                         std::size_t problem_size) -> int {
            try {
                (*static_cast<read_at *>(user))(offset, buffer, len);
                return 0;
            } catch (const std::exception &failed) {
                std::strncpy(problem, failed.what(), problem_size - 1);
            } catch (...) {
                std::strncpy(problem, "the callback threw something", problem_size - 1);
            }
            return 1;
        };
        reader.ended = [](void *user) noexcept { delete static_cast<read_at *>(user); };
        source made;
        detail::call([&](migrate_error **failed) { return migrate_source_served(&of, &reader, &made.handle_, failed); });
        static_cast<void>(kept.release());
        return made;
    }
    std::uint64_t size_bytes() const { return migrate_source_size_bytes(handle_); }
    std::string json() const {
        char *text = nullptr;
        detail::call([&](migrate_error **failed) { return migrate_source_json(handle_, &text, failed); });
        return detail::take(text);
    }
};

/// Something under way. Freeing it cancels it.
class job : public detail::owner<migrate_job, migrate_job_free> {
public:
    using owner::owner;
    /// Whether it has ended.
    bool poll() const {
        return detail::call([&](migrate_error **failed) { return migrate_job_poll(handle_, failed); }) == MIGRATE_OK;
    }
    /// Waits; whether it has ended.
    bool wait(milliseconds limit = no_limit) const {
        return detail::call([&](migrate_error **failed) { return migrate_job_wait(handle_, limit.count(), failed); }) ==
               MIGRATE_OK;
    }
    void cancel() const {
        detail::call([&](migrate_error **failed) { return migrate_job_cancel(handle_, failed); });
    }
#ifdef MIGRATE_HAS_FD
    /// Readable when it has ended.
    int fd() const {
        int made = -1;
        detail::call([&](migrate_error **failed) { return migrate_job_fd(handle_, &made, failed); });
        return made;
    }
#endif
    /// Waits for the end of a job that gives a recovery point.
    recovery_point point() const {
        migrate_point *made = nullptr;
        wait();
        detail::call([&](migrate_error **failed) { return migrate_job_point(handle_, &made, failed); });
        return recovery_point(made);
    }
    /// Waits for the end of a job that gives a text.
    std::string text() const {
        char *made = nullptr;
        wait();
        detail::call([&](migrate_error **failed) { return migrate_job_text(handle_, &made, failed); });
        return detail::take(made);
    }
    /// Waits for the end of a job that gives nothing.
    void result() const {
        wait();
        detail::call([&](migrate_error **failed) { return migrate_job_result(handle_, failed); });
    }
};

/// A buffer that is lent: called once, on a thread of the library, when it is back.
using release = std::function<void(void *buffer)>;

/// A cycle in progress.
class cycle : public detail::owner<migrate_cycle, migrate_cycle_free> {
public:
    using owner::owner;
    /// The next extent to push; none when all were given.
    std::optional<migrate_extent> next() const {
        migrate_extent extent{};
        const auto status = detail::call(
            [&](migrate_error **failed) { return migrate_cycle_next(handle_, &extent, no_limit.count(), failed); });
        return status == MIGRATE_DONE ? std::nullopt : std::optional<migrate_extent>(extent);
    }
    /// Pushes without waiting and without a copy; false at the memory limit: the buffer is still the caller's then.
    bool try_push(std::uint64_t offset, void *buffer, std::size_t len, release back) const {
        auto kept = std::make_unique<release>(std::move(back));
        const auto status = detail::call([&](migrate_error **failed) {
            return migrate_cycle_push(
                handle_, offset, buffer, len,
                [](void *lent, void *user) noexcept {
                    const std::unique_ptr<release> once(static_cast<release *>(user));
                    (*once)(lent);
                },
                kept.get(), failed);
        });
        if (status != MIGRATE_OK) {
            return false;
        }
        static_cast<void>(kept.release());
        return true;
    }
    /// Pushes bytes that are given away; waits while the memory limit is reached.
    void push(std::uint64_t offset, std::vector<unsigned char> bytes) const {
        auto kept = std::make_unique<std::vector<unsigned char>>(std::move(bytes));
        while (detail::call([&](migrate_error **failed) {
                   return migrate_cycle_push(
                       handle_, offset, kept->data(), kept->size(),
                       [](void *, void *user) noexcept { delete static_cast<std::vector<unsigned char> *>(user); }, kept.get(),
                       failed);
               }) == MIGRATE_WOULD_BLOCK) {
            wait();
        }
        static_cast<void>(kept.release());
    }
    /// Waits for room; whether there is.
    bool wait(milliseconds limit = no_limit) const {
        return detail::call([&](migrate_error **failed) {
                   return migrate_cycle_wait(handle_, limit.count(), failed);
               }) == MIGRATE_OK;
    }
    void copy_from(const source &from, milliseconds limit = no_limit) const {
        detail::finish([&](migrate_error **failed) {
            return migrate_cycle_copy_from(handle_, from.get(), limit.count(), failed);
        });
    }
    recovery_point seal() const {
        migrate_point *made = nullptr;
        detail::call([&](migrate_error **failed) { return migrate_cycle_seal(handle_, no_limit.count(), &made, failed); });
        return recovery_point(made);
    }
    void stop() const {
        detail::call([&](migrate_error **failed) { return migrate_cycle_stop(handle_, failed); });
    }
};

/// The replica of one disk.
class replica : public detail::owner<migrate_replica, migrate_replica_free> {
public:
    using owner::owner;
    std::string location() const { return detail::copy(migrate_replica_location(handle_)); }
    std::uint64_t disk_bytes() const {
        std::uint64_t bytes = 0;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_disk_bytes(handle_, no_limit.count(), &bytes, failed);
        });
        return bytes;
    }
    recovery_point replicate(const source &from, const migrate_cycle_settings &what = cycle_settings(),
                             milliseconds limit = no_limit) const {
        migrate_point *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_replicate(handle_, from.get(), &what, limit.count(), &made, failed);
        });
        return recovery_point(made);
    }
    job replicate_start(const source &from, const migrate_cycle_settings &what = cycle_settings()) const {
        migrate_job *made = nullptr;
        detail::call([&](migrate_error **failed) {
            return migrate_replica_replicate_start(handle_, from.get(), &what, &made, failed);
        });
        return job(made);
    }
    cycle begin(const source &from, const migrate_cycle_settings &what = cycle_settings(),
                milliseconds limit = no_limit) const {
        migrate_cycle *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_begin(handle_, from.get(), &what, limit.count(), &made, failed);
        });
        return cycle(made);
    }
    /// Against a source, or, if that is empty, against its own sealed digest map.
    report verify(const source &against = source(), const std::string &settings = {},
                  milliseconds limit = no_limit) const {
        migrate_report *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_verify(handle_, against.get(), settings.c_str(), limit.count(), &made, failed);
        });
        return report(made);
    }
    std::string recovery_points(milliseconds limit = no_limit) const {
        return text(migrate_replica_recovery_points, limit);
    }
    std::string history(milliseconds limit = no_limit) const { return text(migrate_replica_history, limit); }
    std::string garbage(milliseconds limit = no_limit) const { return text(migrate_replica_garbage, limit); }
    std::string collect_garbage(milliseconds limit = no_limit) const {
        return text(migrate_replica_collect_garbage, limit);
    }
    std::string prune(const std::string &rule, milliseconds limit = no_limit) const {
        char *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_prune(handle_, rule.c_str(), limit.count(), &made, failed);
        });
        return detail::take(made);
    }
    recovery_point roll_back(std::uint32_t to, milliseconds limit = no_limit) const {
        migrate_point *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_roll_back(handle_, to, limit.count(), &made, failed);
        });
        return recovery_point(made);
    }
    recovery_point export_proof(const std::string &path, const std::string &settings = {},
                                milliseconds limit = no_limit) const {
        migrate_point *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_export_proof(handle_, path.c_str(), settings.c_str(), limit.count(), &made, failed);
        });
        return recovery_point(made);
    }
    void close(milliseconds limit = no_limit) const {
        detail::finish([&](migrate_error **failed) { return migrate_replica_close(handle_, limit.count(), failed); });
    }

private:
    std::string text(migrate_status (*ask)(migrate_replica *, std::int64_t, char **, migrate_error **),
                     milliseconds limit) const {
        char *made = nullptr;
        detail::finish([&](migrate_error **failed) { return ask(handle_, limit.count(), &made, failed); });
        return detail::take(made);
    }
};

/// Reads an engine's events, as JSON.
class events : public detail::owner<migrate_events, migrate_events_free> {
public:
    using owner::owner;
    /// The next one; none if there is none in time, or the engine is closed and all were read.
    std::optional<std::string> next(milliseconds limit = no_limit) const {
        std::string event;
        return next(event, limit) == MIGRATE_OK ? std::optional<std::string>(std::move(event)) : std::nullopt;
    }
    /// The same for a loop that looks again: MIGRATE_OK, MIGRATE_NOT_YET, or MIGRATE_DONE at the end.
    migrate_status next(std::string &event, milliseconds limit) const {
        char *text = nullptr;
        const auto status = detail::call(
            [&](migrate_error **failed) { return migrate_events_next(handle_, limit.count(), &text, failed); });
        if (status == MIGRATE_OK) {
            event = detail::take(text);
        }
        return status;
    }
#ifdef MIGRATE_HAS_FD
    /// Readable when there may be an event.
    int fd() const {
        int made = -1;
        detail::call([&](migrate_error **failed) { return migrate_events_fd(handle_, &made, failed); });
        return made;
    }
#endif
};

/// An engine.
class engine : public detail::owner<migrate_engine, migrate_engine_free> {
public:
    using owner::owner;
    explicit engine(const migrate_config &settings) {
        detail::call([&](migrate_error **failed) { return migrate_engine_open(&settings, &handle_, failed); });
    }
    source open_source(const std::string &settings, milliseconds limit = no_limit) const {
        migrate_source *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_source_open(handle_, settings.c_str(), limit.count(), &made, failed);
        });
        return source(made);
    }
    replica open_replica(const target &at, const source &of, milliseconds limit = no_limit) const {
        migrate_replica *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_open(handle_, at.get(), of.get(), limit.count(), &made, failed);
        });
        return replica(made);
    }
    replica take_over(const target &at, const source &of, milliseconds limit = no_limit) const {
        migrate_replica *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_replica_take_over(handle_, at.get(), of.get(), limit.count(), &made, failed);
        });
        return replica(made);
    }
    std::string preflight_network(const std::string &settings, milliseconds limit = no_limit) const {
        char *made = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_preflight_network(handle_, settings.c_str(), limit.count(), &made, failed);
        });
        return detail::take(made);
    }
    migrate::events open_events(std::uint64_t after = 0) const {
        migrate_events *made = nullptr;
        detail::call([&](migrate_error **failed) { return migrate_events_open(handle_, after, &made, failed); });
        return migrate::events(made);
    }
    void set_bytes_per_second(std::uint64_t limit) const {
        detail::call([&](migrate_error **failed) { return migrate_engine_set_bytes_per_second(handle_, limit, failed); });
    }
    void set_schedule(const std::string &schedule) const {
        detail::call([&](migrate_error **failed) {
            return migrate_engine_set_schedule(handle_, detail::or_null(schedule), failed);
        });
    }
    /// Ends everything; whether every buffer is back.
    bool close(milliseconds limit = milliseconds(5000)) const {
        return detail::call([&](migrate_error **failed) {
                   return migrate_engine_close(handle_, limit.count(), failed);
               }) == MIGRATE_OK;
    }
};

/// The control plane of one migration: JSON in, JSON out.
class project : public detail::owner<migrate_project, migrate_project_free> {
public:
    using owner::owner;
    project(const engine &of, const std::string &settings, const token &who) {
        detail::call([&](migrate_error **failed) {
            return migrate_project_open(of.get(), settings.c_str(), who.get(), &handle_, failed);
        });
    }
    /// `preflight`, `plan`, `ask`, `template`, `hosts_lines`, `apply` or `cutover`.
    std::string ask(const std::string &function, const std::string &input = {}, milliseconds limit = no_limit) const {
        char *answer = nullptr;
        detail::finish([&](migrate_error **failed) {
            return migrate_project_ask(handle_, function.c_str(), input.c_str(), limit.count(), &answer, failed);
        });
        return detail::take(answer);
    }
    /// The next thing that `apply` told of; none if there is none now.
    std::optional<std::string> next() const {
        char *told = nullptr;
        const auto status =
            detail::call([&](migrate_error **failed) { return migrate_project_next(handle_, &told, failed); });
        return status == MIGRATE_OK ? std::optional<std::string>(detail::take(told)) : std::nullopt;
    }
};

} // namespace migrate

#endif
