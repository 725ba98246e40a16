#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "host.h"

/* Chooses profiles for sequences, as a program does that was written for evenkeel: 1=strong,3=off */
void choose(struct llama_context * context, const char * list) {
    int (*set_profile)(const void *, int, const char *) =
        (int (*)(const void *, int, const char *)) dlsym(RTLD_DEFAULT, "ek_set_profile");
    if (!set_profile) {
        fail("ek_set_profile is not there", dlerror());
    }
    int sequence, read;
    char name[65];
    for (; sscanf(list, "%d=%64[^,]%n", &sequence, name, &read) == 2; list += list[read] ? read + 1 : read) {
        int status = set_profile(context, sequence, name);
        if (status != 0) {
            fail("ek_set_profile fails for", name);
        }
    }
}
