// Scenarios by name.
#include "scenarios.h"

Scenario find(const std::string & name) {
    static const std::map<std::string, Scenario> all = {
        { "steer", steer },     { "shift", shift },   { "strength", strength }, { "kinds", kinds },
        { "many", many },       { "builds", builds }, { "threads", threads },   { "forks", forks },
        { "calls", calls },     { "misuse", misuse }, { "pointer", pointer },   { "thread-end", thread_end },
        { "forks-under-load", forks_under_load }, { "late", late }, { "script", script }, { "capture", capture },
    };
    auto found = all.find(name);
    return found == all.end() ? nullptr : found->second;
}
