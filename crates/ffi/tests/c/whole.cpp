// Whole cycles in C++17: values that free themselves, exceptions, lambdas as callbacks.
#include "migrate.hpp"

#include "check.h"

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

using namespace migrate;

namespace {

struct world {
    engine e;
    target t;
    std::string replica_path;

    world(const char *test, migrate_config settings) {
        settings.state_dir = path_in(test, "state");
        e = engine(settings);
        replica_path = path_in(test, "replica.vhd");
        t = target::local(replica_path);
    }
};

template <class Call> std::string code_of(Call &&call) {
    try {
        call();
    } catch (const error &failed) {
        return failed.code();
    }
    return "no error";
}

void a_disk_is_pushed_by_buffers_that_come_back_and_by_buffers_that_are_given_away() {
    const std::vector<unsigned char> bytes(4 * MIB, 7);
    std::vector<unsigned char> lent = bytes;
    std::atomic<int> back{0};
    int given = 0;
    {
        world w(__func__, config());
        const source disk = source::pushed(migrate::disk(bytes.size(), "snapshot 1"));
        const replica r = w.e.open_replica(w.t, disk);
        const cycle c = r.begin(disk);
        while (const auto want = c.next()) {
            if (given++ % 2 == 0) {
                const auto from = bytes.begin() + static_cast<std::ptrdiff_t>(want->offset);
                c.push(want->offset, std::vector<unsigned char>(from, from + static_cast<std::ptrdiff_t>(want->len)));
                back++;
                continue;
            }
            while (!c.try_push(want->offset, lent.data() + want->offset, want->len, [&](void *) { back++; })) {
                c.wait();
            }
        }
        const recovery_point point = c.seal();
        CHECK(point.cycle() == 1 && point.kind() == "initial" && point.root().size() == 64);
        CHECK(!point.change_id().has_value() && point.count("sent") == bytes.size());
        CHECK(r.verify().equal() && r.disk_bytes() == bytes.size());
        CHECK(begins_with(w.replica_path.c_str(), bytes.data(), bytes.size()));
        CHECK(r.recovery_points().find(point.root()) != std::string::npos);
        r.close();
        CHECK(w.e.close());
    }
    CHECK(given >= 4 && back == given);
}

void a_lambda_reads_the_disk_and_what_it_throws_is_the_error() {
    world w(__func__, config());
    auto token = std::make_shared<int>(7);
    const std::weak_ptr<int> kept = token;
    {
        std::atomic<bool> broken{true};
        const source disk = source::served(migrate::disk(2 * MIB, "1"), [&, token](auto, void *buffer, auto len) {
            if (broken) {
                throw std::runtime_error("the snapshot is gone");
            }
            std::memset(buffer, *token, len);
        });
        token.reset();
        const replica r = w.e.open_replica(w.t, disk);
        try {
            static_cast<void>(r.replicate(disk));
            CHECK(!"it was replicated");
        } catch (const error &failed) {
            CHECK(failed.code() == "source.custom" && failed.kind() == MIGRATE_KIND_FATAL && !failed.retryable());
            CHECK(std::string(failed.what()).find("the snapshot is gone") != std::string::npos);
            CHECK(!failed.remedy().empty() && failed.json().find("\"causes\"") != std::string::npos);
        }
        broken = false;
        const job running = r.replicate_start(disk);
        CHECK(running.point().kind() == "initial");
        CHECK(running.poll() && code_of([&] { static_cast<void>(running.point()); }) == "call.closed");
        r.close();
    }
    w.e.close();
    // The lambda is destroyed by the last thread that reads.
    for (int tries = 0; tries < 1000 && !kept.expired(); tries++) {
        std::this_thread::sleep_for(milliseconds(10));
    }
    CHECK(kept.expired());
}

void events_are_read_in_order_and_end_with_the_engine() {
    world w(__func__, config());
    const events all = w.e.open_events();
    std::string one;
    CHECK(!all.next(milliseconds(0)).has_value() && all.fd() >= 0);
    CHECK(all.next(one, milliseconds(0)) == MIGRATE_NOT_YET);
    {
        const source disk = source::served(migrate::disk(MIB, "1"), [](auto, void *buffer, auto len) { std::memset(buffer, 1, len); });
        const replica r = w.e.open_replica(w.t, disk);
        static_cast<void>(r.replicate(disk));
        r.close();
    }
    w.e.close();
    std::string seen;
    while (const auto event = all.next()) {
        seen += *event;
    }
    CHECK(all.next(one, milliseconds(0)) == MIGRATE_DONE);
    CHECK(seen.find("\"type\":\"opened\"") < seen.find("\"type\":\"sealed\""));
    CHECK(seen.find("\"type\":\"sealed\"") != std::string::npos);
}

void values_move_and_errors_are_thrown_with_their_code() {
    world w(__func__, config());
    engine moved = std::move(w.e);
    CHECK(!w.e && moved);
    CHECK(code_of([&] { w.e.set_bytes_per_second(1); }) == "call.argument");
    moved.set_bytes_per_second(1);
    CHECK(code_of([&] { moved.set_schedule("{\"zone\": \"Mars/Base\"}"); }).rfind("schedule.", 0) == 0);
    CHECK(code_of([&] { static_cast<void>(moved.open_source("{\"path\": \"no such folder/a\"}")); }) == "source.open");
    CHECK(code_of([] { static_cast<void>(source::pushed(migrate::disk(0))); }) == "call.argument");
    CHECK(code_of([] { static_cast<void>(target("{}")); }) == "call.argument");
    CHECK(code_of([] { static_cast<void>(control("plans")); }) == "call.argument");
    CHECK(control("lifecycle").front() == '{' && version() == "0.1.0");
    moved.close();
    CHECK(code_of([&] { moved.set_bytes_per_second(1); }) == "call.closed");
}

void a_call_whose_time_is_up_throws_and_the_next_run_goes_on() {
    migrate_config slow = config();
    slow.bytes_per_second = MIB;
    world w(__func__, slow);
    const source disk = source::served(migrate::disk(20 * MIB, "1"), [](auto offset, void *buffer, auto len) {
        std::memset(buffer, static_cast<int>(offset / MIB) + 1, len);
    });
    const replica r = w.e.open_replica(w.t, disk);
    bool thrown = false;
    try {
        static_cast<void>(r.replicate(disk, cycle_settings(), milliseconds(200)));
    } catch (const timed_out &) {
        thrown = true;
    }
    CHECK(thrown);
    w.e.set_bytes_per_second(0);
    CHECK(r.replicate(disk).cycle() == 1);
    r.close();
    w.e.close();
}

void a_token_that_throws_is_the_error() {
    migrate_config hasty = config();
    hasty.extra_json = "{\"retry\": {\"budget_seconds\": 0}}";
    world w(__func__, hasty);
    const token nobody([](const std::string &) -> std::pair<std::string, std::int64_t> {
        throw std::runtime_error("nobody is signed in");
    });
    migrate_blob place = blob();
    place.url = "https://web01.blob.core.windows.net/disks/web01.vhd";
    place.proxy = "http://127.0.0.1:9/";
    place.allow_public_route = 1;
    const target t(place, nobody);
    const source disk = source::pushed(migrate::disk(MIB, "1"));
    std::string told;
    try {
        static_cast<void>(w.e.open_replica(t, disk));
    } catch (const error &failed) {
        told = failed.json();
    }
    CHECK(told.find("nobody is signed in") != std::string::npos);
    w.e.close();
}

/* In a process of its own, since it ends that. */
void what_a_release_throws_ends_the_program_and_not_in_undefined_behaviour() {
    std::fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        static std::atomic<bool> threw{false};
        std::set_terminate([] { _exit(threw ? 7 : 3); });
        const std::vector<unsigned char> bytes(MIB, 7);
        std::vector<unsigned char> lent = bytes;
        const world w(__func__, config());
        const source disk = source::pushed(migrate::disk(bytes.size(), "1"));
        const replica r = w.e.open_replica(w.t, disk);
        const cycle c = r.begin(disk);
        const auto want = c.next().value();
        static_cast<void>(c.try_push(want.offset, lent.data(), want.len, [](void *) {
            threw = true;
            throw std::runtime_error("no");
        }));
        std::this_thread::sleep_for(std::chrono::seconds(10));
        _exit(1);
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: whole FOLDER\n");
        return 2;
    }
    folder = argv[1];
    RUN(a_disk_is_pushed_by_buffers_that_come_back_and_by_buffers_that_are_given_away);
    RUN(a_lambda_reads_the_disk_and_what_it_throws_is_the_error);
    RUN(events_are_read_in_order_and_end_with_the_engine);
    RUN(values_move_and_errors_are_thrown_with_their_code);
    RUN(a_call_whose_time_is_up_throws_and_the_next_run_goes_on);
    RUN(a_token_that_throws_is_the_error);
    RUN(what_a_release_throws_ends_the_program_and_not_in_undefined_behaviour);
    return summary();
}
