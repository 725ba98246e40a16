/* Devices of other machines: ggml's RPC servers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ggml-backend.h"
#include "host.h"

void add_servers(const char * list) {
    ggml_backend_reg_t rpc = ggml_backend_reg_by_name("RPC");
    if (!rpc) {
        fail("no RPC backend is loaded", list);
    }
    ggml_backend_reg_t (*add_server)(const char *) =
        (ggml_backend_reg_t (*)(const char *)) ggml_backend_reg_get_proc_address(rpc, "ggml_backend_rpc_add_server");
    char * copy = strdup(list);
    for (char * endpoint = strtok(copy, ","); endpoint; endpoint = strtok(NULL, ",")) {
        ggml_backend_reg_t server = add_server(endpoint);
        if (!server) {
            fail("no RPC server answers", endpoint);
        }
        ggml_backend_register(server);
    }
    free(copy);
}

void name_devices(void) {
    for (size_t i = 0; i < ggml_backend_dev_count(); i++) {
        fprintf(stderr, "host: device %s\n", ggml_backend_dev_name(ggml_backend_dev_get(i)));
    }
}
