#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"

/*
 * A script has one command a line:
 *   segments SEQUENCE PREFIX LENGTH...      says by ek_set_segments that segments of these lengths follow PREFIX tokens; without
 *                                           lengths: that there are none
 *   feed SEQUENCE:POSITION:TOKEN,TOKEN...   several such groups: one batch; every row gives logits
 *   fill SEQUENCE:POSITION:TOKEN,TOKEN...   the same; no row gives logits
 *   tail ROWS SEQUENCE:POSITION:TOKEN...    the same; the last ROWS give logits
 *   abort AFTER SEQUENCE:POSITION:TOKEN...  as feed, and the evaluation is given up when the host is asked for the AFTERth time
 *                                           whether to go on; then its cells are removed
 *   image ROWS SEQUENCE:POSITION:SEED...    a batch of embeddings, made of one number each; the last ROWS give logits. Where a
 *                                           model's positions have several dimensions, a group's rows are a grid at POSITION
 *   remove SEQUENCE FROM TO                 llama_memory_seq_rm
 *   copy FROM TO                            llama_memory_seq_cp, all positions
 *   save SEQUENCE                           llama_state_seq_get_data, kept until the next one
 *   load SEQUENCE                           llama_state_seq_set_data of what was saved last
 *   stats all                               writes what ek_stats_json says to standard error, on one line
 *   save all, load all                      the same of the whole context, by llama_state_get_data and llama_state_set_data
 */

/* As in evenkeel.h, which this program does not know. */
typedef struct span {
    int32_t begin, end;
} span;

typedef int (*set_segments_fn)(const void *, int32_t, const span *, size_t);

static void segments(struct llama_context * context, char * rest) {
    set_segments_fn set = (set_segments_fn) dlsym(RTLD_DEFAULT, "ek_set_segments");
    if (!set) {
        fail("ek_set_segments is nowhere", NULL);
    }
    span   spans[128];
    size_t n        = 0;
    int    sequence = (int) strtol(rest, &rest, 10);
    int    at       = (int) strtol(rest, &rest, 10);
    for (char * end; n < 128; rest = end) {
        int length = (int) strtol(rest, &end, 10);
        if (end == rest) {
            break;
        }
        spans[n].begin = at;
        spans[n++].end = at += length;
    }
    int status = set(context, sequence, spans, n);
    if (status != 0) {
        const char * (*text)(void) = (const char * (*)(void)) dlsym(RTLD_DEFAULT, "ek_last_error");
        fprintf(stderr, "host: ek_set_segments returned %d: %s\n", status, text ? text() : "");
    }
}

/* Times that the host goes on when it is asked; -1: always. */
static int patience = -1;

static bool gives_up(void * data) {
    (void) data;
    return patience >= 0 && patience-- == 0;
}

/* Evaluates a batch, of which the rows from `from` on give logits, and frees it. */
static void decode(struct llama_context * context, struct llama_batch batch, int from, int vocabulary,
                   void (*row)(const char *, int, int, const float *, int)) {
    bool aborts = patience >= 0;
    int  status = llama_decode(context, batch);
    patience    = -1;
    if (status != (aborts ? 2 : 0)) {
        fail(aborts ? "llama_decode was not aborted" : "llama_decode failed", "script");
    }
    if (aborts) {
        for (int n = 0; n < batch.n_tokens; n++) {
            llama_memory_seq_rm(llama_get_memory(context), batch.seq_id[n][0], batch.pos[n], -1);
        }
        llama_batch_free(batch);
        return;
    }
    for (int n = from; n < batch.n_tokens; n++) {
        row("prompt", batch.seq_id[n][0], batch.pos[n], llama_get_logits_ith(context, n), vocabulary);
    }
    llama_batch_free(batch);
}

static void feed(struct llama_context * context, char * rest, int outputs, int vocabulary,
                 void (*row)(const char *, int, int, const float *, int)) {
    struct llama_batch batch = llama_batch_init(2048, 0, 1);
    for (char * group = strtok(rest, " "); group; group = strtok(NULL, " ")) {
        int sequence = (int) strtol(group, &group, 10);
        int position = (int) strtol(group + 1, &group, 10);
        while (*group == ':' || *group == ',') {
            int n = batch.n_tokens++;
            batch.token[n]     = (llama_token) strtol(group + 1, &group, 10);
            batch.pos[n]       = position++;
            batch.n_seq_id[n]  = 1;
            batch.seq_id[n][0] = sequence;
        }
    }
    int from = outputs < batch.n_tokens ? batch.n_tokens - outputs : 0;
    for (int n = 0; n < batch.n_tokens; n++) {
        batch.logits[n] = n >= from;
    }
    decode(context, batch, from, vocabulary, row);
}

/* Numbers between -0.1 and 0.1, different for each seed. */
static void embedding(float * values, int n, uint32_t seed) {
    for (int i = 0; i < n; i++) {
        seed      = seed * 1664525u + 1013904223u;
        values[i] = ((float) (seed >> 8) / (float) (1 << 24) - 0.5f) * 0.2f;
    }
}

static void image(struct llama_context * context, char * rest, int outputs, int vocabulary,
                  void (*row)(const char *, int, int, const float *, int)) {
    const struct llama_model * model  = llama_get_model(context);
    int                        width  = llama_model_n_embd(model);
    bool                       grid   = llama_model_rope_type(model) == LLAMA_ROPE_TYPE_MROPE;
    struct llama_batch         batch  = llama_batch_init(256, width, 1);
    llama_pos                  at[4][256] = {{0}};
    for (char * group = strtok(rest, " "); group; group = strtok(NULL, " ")) {
        int sequence = (int) strtol(group, &group, 10);
        int position = (int) strtol(group + 1, &group, 10);
        for (int i = 0; *group == ':' || *group == ','; i++) {
            int n = batch.n_tokens++;
            embedding(batch.embd + (size_t) n * width, width, (uint32_t) strtol(group + 1, &group, 10));
            at[0][n]           = grid ? position : position + i;
            at[1][n]           = position + i / 2;
            at[2][n]           = position + i % 2;
            batch.n_seq_id[n]  = 1;
            batch.seq_id[n][0] = sequence;
        }
    }
    int n     = batch.n_tokens;
    batch.pos = realloc(batch.pos, sizeof(llama_pos) * 4 * 256);
    for (int dimension = 0; dimension < 4; dimension++) {
        memcpy(batch.pos + dimension * n, at[dimension], sizeof(llama_pos) * n);
    }
    int from = outputs < n ? n - outputs : 0;
    for (int i = 0; i < n; i++) {
        batch.logits[i] = i >= from;
    }
    decode(context, batch, from, vocabulary, row);
}

static void stats(void) {
    int (*json)(char *, size_t, size_t *) = (int (*)(char *, size_t, size_t *)) dlsym(RTLD_DEFAULT, "ek_stats_json");
    static char text[1 << 16];
    size_t      needed;
    if (!json || json(text, sizeof(text), &needed) != 0) {
        fail("ek_stats_json says nothing", NULL);
    }
    for (char * c = text; *c; c++) {
        *c = *c == '\n' ? ' ' : *c;
    }
    fprintf(stderr, "host: ek_stats_json: %s\n", text);
}

static uint8_t * saved;
static size_t    saved_size;

static void save(struct llama_context * context, const char * what) {
    bool   all      = strcmp(what, "all") == 0;
    int    sequence = atoi(what);
    size_t size     = all ? llama_state_get_size(context) : llama_state_seq_get_size(context, sequence);
    saved           = realloc(saved, size);
    saved_size      = all ? llama_state_get_data(context, saved, size) : llama_state_seq_get_data(context, saved, size, sequence);
    if (saved_size != size) {
        fail("a state was written with another size than was said", what);
    }
}

static void load(struct llama_context * context, const char * what) {
    bool   all  = strcmp(what, "all") == 0;
    size_t read = all ? llama_state_set_data(context, saved, saved_size) : llama_state_seq_set_data(context, saved, saved_size, atoi(what));
    if (read != saved_size) {
        fail("another size of a state was read than was saved", what);
    }
}

void run_script(struct llama_context * context, const char * path, void (*row)(const char *, int, int, const float *, int)) {
    int    vocabulary = llama_vocab_n_tokens(llama_model_get_vocab(llama_get_model(context)));
    FILE * script     = fopen(path, "r");
    char * line       = NULL;
    size_t size       = 0;
    if (!script) {
        fail("cannot read", path);
    }
    while (getline(&line, &size, script) > 0) {
        line[strcspn(line, "\n")] = 0;
        char * rest = strchr(line, ' ');
        if (!rest) {
            fail("no command", line);
        }
        *rest++ = 0;
        if (strcmp(line, "segments") == 0) {
            segments(context, rest);
        } else if (strcmp(line, "feed") == 0) {
            feed(context, rest, 2048, vocabulary, row);
        } else if (strcmp(line, "fill") == 0) {
            feed(context, rest, 0, vocabulary, row);
        } else if (strcmp(line, "tail") == 0) {
            int rows = (int) strtol(rest, &rest, 10);
            feed(context, rest + 1, rows, vocabulary, row);
        } else if (strcmp(line, "abort") == 0) {
            patience = (int) strtol(rest, &rest, 10);
            llama_set_abort_callback(context, gives_up, NULL);
            feed(context, rest + 1, 2048, vocabulary, row);
            llama_set_abort_callback(context, NULL, NULL);
        } else if (strcmp(line, "image") == 0) {
            int rows = (int) strtol(rest, &rest, 10);
            image(context, rest + 1, rows, vocabulary, row);
        } else if (strcmp(line, "remove") == 0) {
            int sequence = (int) strtol(rest, &rest, 10), from = (int) strtol(rest, &rest, 10);
            llama_memory_seq_rm(llama_get_memory(context), sequence, from, (int) strtol(rest, &rest, 10));
        } else if (strcmp(line, "stats") == 0) {
            stats();
        } else if (strcmp(line, "save") == 0) {
            save(context, rest);
        } else if (strcmp(line, "load") == 0) {
            load(context, rest);
        } else if (strcmp(line, "copy") == 0) {
            int from = (int) strtol(rest, &rest, 10);
            llama_memory_seq_cp(llama_get_memory(context), from, (int) strtol(rest, &rest, 10), -1, -1);
        } else {
            fail("unknown command", line);
        }
    }
    free(line);
    fclose(script);
}
