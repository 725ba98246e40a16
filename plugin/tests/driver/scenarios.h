// Every scenario.
#pragma once

#include "host.h"

int steer();
int shift();
int strength();
int kinds();
int many();
int builds();
int late();
int threads();
int forks();
int forks_under_load();
int calls();
int misuse();
int thread_end();
int pointer();
int capture();
int script();
