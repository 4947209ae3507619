// The conformance suite of tests/conformance, played through migrate.hpp.
//
// usage: conformance SUITE FOLDER, and the environment's LIBMIGRATE_FAKE_ARM
#include "migrate.hpp"

#include <stdio.h> // popen

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <set>
#include <sstream>
#include <thread>

namespace fs = std::filesystem;
using json = nlohmann::json;
using bytes = std::vector<unsigned char>;

namespace {

struct fault : std::runtime_error {
    using std::runtime_error::runtime_error;
};

bytes read_file(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        throw fault("cannot read " + path.string());
    }
    return bytes(std::istreambuf_iterator<char>(file), {});
}

void write_file(const fs::path &path, const bytes &content) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char *>(content.data()), static_cast<std::streamsize>(content.size()));
    if (!file) {
        throw fault("cannot write " + path.string());
    }
}

void fill(bytes &disk, const json &part) {
    const auto offset = part.at("offset").get<std::uint64_t>(), len = part.at("len").get<std::uint64_t>();
    const auto seed = part.at("seed").get<std::uint64_t>();
    for (std::uint64_t at = offset; at < offset + len; ++at) {
        disk.at(at) = static_cast<unsigned char>(seed == 0 ? 0 : (at + 37 * seed) % 251);
    }
}

// Where `found` does not hold what is expected, in words; empty if it does.
std::string difference(const json &expected, const json &found) {
    if (expected.is_object() && found.is_object()) {
        for (const auto &[name, value] : expected.items()) {
            const auto words = difference(value, found.contains(name) ? found.at(name) : json());
            if (!words.empty()) {
                return name + ": " + words;
            }
        }
        return {};
    }
    if (expected.is_array() && found.is_array() && expected.size() == found.size()) {
        for (std::size_t at = 0; at < expected.size(); ++at) {
            const auto words = difference(expected[at], found[at]);
            if (!words.empty()) {
                return words;
            }
        }
        return {};
    }
    return expected == found ? std::string() : "expected " + expected.dump() + ", found " + found.dump();
}

bool is_over(std::chrono::steady_clock::time_point until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return std::chrono::steady_clock::now() > until;
}

std::chrono::steady_clock::time_point in_thirty_seconds() {
    return std::chrono::steady_clock::now() + std::chrono::seconds(30);
}

// The fake of Azure Resource Manager, until it goes out of scope.
class service {
public:
    service(const json &described, const fs::path &folder) {
        const char *program = std::getenv("LIBMIGRATE_FAKE_ARM");
        if (program == nullptr) {
            throw fault("LIBMIGRATE_FAKE_ARM does not name the fake: tests/conformance/README.md");
        }
        const auto told = (folder / "service.json").string();
        const auto command = "exec '" + std::string(program) + "' --scenario " +
                             described.at("scenario").get<std::string>() + " --servers " +
                             described.at("servers").dump() + " > '" + told + "'";
        // Its standard input is ours to close.
        running_.reset(popen(command.c_str(), "w"));
        const auto until = in_thirty_seconds();
        while (!json::accept(std::ifstream(told))) {
            if (!running_ || is_over(until)) {
                throw fault("the fake does not start");
            }
        }
        settings_ = json::parse(std::ifstream(told));
        settings_["poll_ms"] = 1;
    }

    std::string settings() const {
        return settings_.dump();
    }

private:
    struct closed {
        void operator()(FILE *running) const {
            pclose(running);
        }
    };
    std::unique_ptr<FILE, closed> running_;
    json settings_;
};

class world {
public:
    world(const json &test_case, fs::path folder) : folder_(std::move(folder)), settings_(json::object()) {
        if (test_case.contains("engine")) {
            settings_ = test_case.at("engine");
        }
        if (test_case.contains("service")) {
            service_.emplace(test_case.at("service"), folder_);
        }
        const json disk = test_case.value("disk", json{{"size", 0}, {"fill", json::array()}});
        disk_.resize(disk.at("size").get<std::size_t>());
        for (const auto &part : disk.at("fill")) {
            fill(disk_, part);
        }
        open();
        write_file(folder_ / "disk.raw", disk_);
    }

    json play(const json &step) {
        const auto what = step.at("do").get<std::string>();
        const json settings = step.value("settings", json::object());
        if (what == "write") {
            fill(disk_, step);
            changed();
        } else if (what == "resize") {
            disk_.resize(step.at("size").get<std::size_t>());
            changed();
        } else if (what == "replicate") {
            const auto source = image();
            return cycle_with(settings, [&](const auto &c) { return replica_for(source).replicate(source, c); });
        } else if (what == "push") {
            return push(step, settings);
        } else if (what == "serve") {
            const std::string point = point_of(step);
            const auto source = migrate::source::served(described(point), [this](auto offset, void *to, auto len) {
                std::memcpy(to, disk_.data() + offset, len);
            });
            return cycle_with(settings, [&](const auto &c) { return replica_for(source).replicate(source, c); });
        } else if (what == "verify") {
            const auto source = image();
            const auto &replica = replica_for(source);
            const auto against = step.value("source", false) ? image() : migrate::source();
            return json::parse(replica.verify(against, settings.dump()).json());
        } else if (what == "recovery_points") {
            return json::parse(replica_for(image()).recovery_points());
        } else if (what == "history") {
            return json::parse(replica_for(image()).history());
        } else if (what == "prune") {
            return json::parse(replica_for(image()).prune(settings.dump()));
        } else if (what == "roll_back") {
            return json::parse(replica_for(image()).roll_back(step.at("cycle").get<std::uint32_t>()).json());
        } else if (what == "garbage") {
            return json::parse(replica_for(image()).garbage());
        } else if (what == "collect_garbage") {
            return json::parse(replica_for(image()).collect_garbage());
        } else if (what == "damage") {
            auto replica = read_file(folder_ / "replica.vhd");
            fill(replica, step);
            write_file(folder_ / "replica.vhd", replica);
        } else if (what == "equal") {
            const auto replica = read_file(folder_ / "replica.vhd");
            if (replica.size() < disk_.size() || !std::equal(disk_.begin(), disk_.end(), replica.begin())) {
                throw fault("the replica differs from the disk");
            }
        } else if (what == "reopen") {
            close_replica();
        } else if (what == "new_engine") {
            close_replica();
            take_events();
            engine_.close();
            open();
        } else if (what == "open_engine") {
            static_cast<void>(engine_with(settings).close());
        } else if (what == "open_source") {
            static_cast<void>(engine_.open_source(settings.dump()));
        } else if (what == "open_target") {
            static_cast<void>(migrate::target(settings.dump()));
        } else if (what == "close_engine") {
            engine_.close();
        } else if (what == "preflight_network") {
            return json::parse(engine_.preflight_network(settings.dump()));
        } else if (what == "control") {
            const auto input = step.contains("input") ? step.at("input").dump() : std::string();
            return json::parse(migrate::control(step.at("function").get<std::string>(), input));
        } else if (what == "project") {
            const migrate::token any([](const std::string &) { return std::make_pair("token", 4294967295); });
            project_ = migrate::project(engine_, service_.value().settings(), any);
        } else if (what == "project_preflight") {
            return json::parse(project_.ask("preflight", settings.dump()));
        } else if (what == "plan" || what == "ask") {
            plan_ = json::parse(project_.ask(what, settings.dump()));
            ++plans_;
            return plan_;
        } else if (what == "template") {
            return json::parse(project_.ask("template", json{{"plan", plan_}}.dump()));
        } else if (what == "hosts_lines") {
            return json::parse(project_.ask("hosts_lines"));
        } else if (what == "apply") {
            return apply(step, settings);
        } else if (what == "cutover") {
            json asked = settings;
            asked["do"] = step.at("what");
            asked["record"] = (folder_ / ("record-" + settings.at("purpose").get<std::string>())).string();
            return json::parse(project_.ask("cutover", asked.dump()));
        } else if (what == "told") {
            std::set<std::string> events;
            while (const auto told = project_.next()) {
                events.insert(json::parse(*told).at("event").get<std::string>());
            }
            events.erase("progress");
            events.erase("retrying");
            return events;
        } else {
            throw fault("this runner does not know the step " + what);
        }
        return {};
    }

    // The types of what happened, without what every run has too many or too few of.
    const json &take_events() {
        while (const auto text = events_.next(std::chrono::milliseconds(0))) {
            const auto type = json::parse(*text).at("type").get<std::string>();
            if (type != "progress" && type != "retrying" && type != "requests_in_flight" && type != "verified") {
                seen_.push_back(type);
            }
        }
        return seen_;
    }

private:
    static migrate::engine engine_with(const json &settings) {
        const auto text = settings.dump();
        auto config = migrate::config();
        config.extra_json = text.c_str();
        return migrate::engine(config);
    }

    void open() {
        auto settings = settings_;
        settings["state_dir"] = (folder_ / "state").string();
        engine_ = engine_with(settings);
        events_ = engine_.open_events();
    }

    void changed() {
        ++changes_;
        write_file(folder_ / "disk.raw", disk_);
    }

    migrate::source image() const {
        return engine_.open_source(json{{"path", (folder_ / "disk.raw").string()}, {"format", "raw"}}.dump());
    }

    std::string point_of(const json &step) const {
        return step.value("moving", false) ? std::string() : "w" + std::to_string(changes_);
    }

    migrate_disk described(const std::string &point) const {
        return migrate::disk(disk_.size(), point.empty() ? nullptr : point.c_str());
    }

    const migrate::replica &replica_for(const migrate::source &source) {
        if (!replica_) {
            replica_ = engine_.open_replica(migrate::target::local((folder_ / "replica.vhd").string()), source);
        }
        return replica_;
    }

    void close_replica() {
        if (replica_) {
            replica_.close();
            replica_.reset();
        }
    }

    template <class Run> json cycle_with(const json &settings, Run &&run) {
        const auto text = settings.dump();
        auto what = migrate::cycle_settings();
        what.extra_json = text.c_str();
        return json::parse(run(what).json());
    }

    json push(const json &step, const json &settings) {
        const std::string point = point_of(step);
        const auto source = migrate::source::pushed(described(point));
        return cycle_with(settings, [&](const auto &what) {
            const auto cycle = replica_for(source).begin(source, what);
            auto cut = step.value("cut", std::size_t{0});
            while (const auto want = cycle.next()) {
                if (step.value("stop", false)) {
                    cycle.stop();
                }
                const auto from = disk_.begin() + static_cast<std::ptrdiff_t>(want->offset);
                const auto len = static_cast<std::ptrdiff_t>(want->len - std::exchange(cut, 0));
                cycle.push(want->offset, bytes(from, from + len));
            }
            return cycle.seal();
        });
    }

    json apply(const json &step, json settings) const {
        settings["plan"] = plan_;
        settings["journal"] = (folder_ / ("journal-" + std::to_string(plans_))).string();
        const auto until = in_thirty_seconds();
        for (;;) {
            const json outcome = json::parse(project_.ask("apply", settings.dump()));
            if (outcome.at("done") == true || !step.value("finish", false) || is_over(until)) {
                return outcome;
            }
        }
    }

    fs::path folder_;
    std::optional<service> service_;
    json settings_;
    bytes disk_;
    unsigned changes_ = 0;
    migrate::engine engine_;
    migrate::events events_;
    migrate::replica replica_;
    migrate::project project_;
    json plan_;
    unsigned plans_ = 0;
    json seen_ = json::array();
};

// What does not hold, in words.
std::string play(const fs::path &file, const fs::path &folder) {
    const json test_case = json::parse(std::ifstream(file));
    const std::set<std::string> known{"name", "disk", "service", "engine", "steps", "events"};
    for (const auto &[name, value] : test_case.items()) {
        if (known.count(name) == 0) {
            return "this runner does not know the field " + name;
        }
    }
    world w(test_case, folder);
    std::size_t at = 0;
    const std::set<std::string> fields{"do",   "settings", "expect", "error", "offset", "len",  "seed",     "size", "cycle",
                                       "cut",  "moving",   "stop",   "source", "finish", "what", "function", "input"};
    for (const auto &step : test_case.at("steps")) {
        for (const auto &[name, value] : step.items()) {
            if (fields.count(name) == 0) {
                return "this runner does not know the field " + name;
            }
        }
        std::string problem;
        try {
            const json found = w.play(step);
            if (step.contains("error")) {
                problem = "it did not fail, but gave " + found.dump();
            } else if (step.contains("expect")) {
                problem = difference(step.at("expect"), found);
            }
        } catch (const migrate::error &failed) {
            problem = step.contains("error") ? difference(step.at("error"), json::parse(failed.json())) : failed.json();
        } catch (const std::exception &failed) {
            problem = failed.what();
        }
        if (!problem.empty()) {
            return "step " + std::to_string(at) + ", " + step.at("do").get<std::string>() + ": " + problem;
        }
        ++at;
    }
    if (test_case.contains("events") && w.take_events() != test_case.at("events")) {
        return "events: expected " + test_case.at("events").dump() + ", found " + w.take_events().dump();
    }
    return {};
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3) {
        std::cerr << "usage: conformance SUITE FOLDER\n";
        return 2;
    }
    std::vector<fs::path> files;
    for (const auto &entry : fs::directory_iterator(argv[1])) {
        if (entry.path().extension() == ".json") {
            files.push_back(entry.path());
        }
    }
    std::sort(files.begin(), files.end());
    int passed = 0, failed = 0;
    for (const auto &file : files) {
        const auto folder = fs::path(argv[2]) / file.stem();
        fs::create_directories(folder);
        std::string problem;
        try {
            problem = play(file, folder);
        } catch (const std::exception &wrong) {
            problem = wrong.what();
        }
        problem.empty() ? ++passed : ++failed;
        std::cout << (problem.empty() ? "ok " : "FAILED ") << file.stem().string()
                  << (problem.empty() ? "" : ": " + problem) << std::endl;
    }
    std::cout << passed << " passed, " << failed << " failed" << std::endl;
    return failed == 0 && passed > 0 ? 0 : 1;
}
