// A call to decode: its rows, cut into micro-batches in order.
#include "model.h"

#include <cmath>
#include <cstdio>
#include <set>

int llama_context::decode(const llama_batch & batch) {
    llama_batch_ext ext;
    for (int32_t i = 0; i < batch.n_tokens; i++) {
        null_batch_row row = { batch.token[i], 0, { 0 }, batch.logits ? batch.logits[i] != 0 : i + 1 == batch.n_tokens };
        if (batch.seq_id) {
            row.seqs.assign(batch.seq_id[i], batch.seq_id[i] + batch.n_seq_id[i]);
        }
        row.pos = batch.pos ? batch.pos[i] : memory.end(row.seqs[0]) + i;
        ext.rows.push_back(row);
    }
    return decode(ext);
}

static void trace(const std::vector<null_batch_row> & rows) {
    printf("host:");
    for (const null_batch_row & row : rows) {
        printf(" ");
        for (size_t i = 0; i < row.seqs.size(); i++) {
            printf("%s%d", i ? "+" : "", row.seqs[i]);
        }
        printf("@%d=%c%s", row.pos, row.token ? 'a' + row.token - 1 : '_', row.output ? "!" : "");
    }
    printf("\n");
}

int llama_context::decode(const llama_batch_ext & batch) {
    null_throw(NULL_DECODE);
    const std::vector<null_batch_row> & rows = batch.rows;
    if (null_settings()->trace) {
        trace(rows);
    }
    if (rows.size() > params.n_batch) {
        null_abort("a batch has more than n_batch tokens");
    }
    std::map<int32_t, int32_t> next;
    for (const null_batch_row & row : rows) {
        if (row.token < 0 || row.token >= model.embeddings->ne[1]) {
            printf("host: there is no token %d\n", row.token);
            return -1;
        }
        for (int32_t seq : row.seqs) {
            const auto    known    = next.find(seq);
            const int32_t expected = known == next.end() ? memory.end(seq) : known->second;
            if (expected != 0 && row.pos != expected) {
                printf("host: sequence %d goes on at %d, not at %d\n", seq, expected, row.pos);
                return -1;
            }
            next[seq] = row.pos + 1;
        }
    }
    logits.clear();
    output_rows.clear();
    int outputs = 0;
    for (const null_batch_row & row : rows) {
        output_rows.push_back(row.output ? outputs++ : -1);
    }
    llama_batch_allocr allocr(rows);
    for (size_t i = 0; i < rows.size(); i = allocr.get_n_used()) {
        const llama_ubatch next =
            null_settings()->equal ? allocr.split_equal(params.n_ubatch, false, 0) : allocr.split_simple(params.n_ubatch);
        const int status = evaluate(&rows[i], next.n_tokens);
        if (status != 0) {
            return status;
        }
    }
    return rows.empty() ? -1 : 0;
}

// One micro-batch: several sequences in the order of the batch.
int llama_context::evaluate(const null_batch_row * rows, uint32_t n_tokens) {
    std::vector<int32_t>   token, pos, n_seq_id, unique;
    std::vector<int32_t *> seq_id;
    std::vector<int8_t>    output;
    std::set<int32_t>      seqs;
    for (uint32_t i = 0; i < n_tokens; i++) {
        token.push_back(rows[i].token);
        pos.push_back(rows[i].pos);
        n_seq_id.push_back(static_cast<int32_t>(rows[i].seqs.size()));
        seq_id.push_back(const_cast<int32_t *>(rows[i].seqs.data()));
        output.push_back(rows[i].output);
        seqs.insert(rows[i].seqs.begin(), rows[i].seqs.end());
        for (int32_t seq : rows[i].seqs) {
            memory.seqs[seq][rows[i].pos] = { rows[i].token, NAN };
        }
    }
    unique.assign(seqs.begin(), seqs.end());
    std::vector<int32_t> index(seqs.empty() ? 1 : static_cast<size_t>(*seqs.rbegin()) + 1, -1);
    llama_ubatch ubatch = { 0, n_tokens, 1, n_tokens, static_cast<uint32_t>(unique.size()), 1, token.data(), nullptr, pos.data(),
                            n_seq_id.data(), seq_id.data(), unique.data(), index.data(), output.data() };
    ggml_status        status = GGML_STATUS_FAILED;
    llm_graph_result * r      = process_ubatch(ubatch, LLM_GRAPH_TYPE_DEFAULT, nullptr, status);
    if (!r || status != GGML_STATUS_SUCCESS) {
        return -3;
    }
    for (uint32_t i = 0; i < n_tokens && r->keys; i++) {
        for (int32_t seq : rows[i].seqs) {
            memory.seqs[seq][rows[i].pos].key = static_cast<const float *>(r->keys->data)[i * static_cast<size_t>(model.width)];
        }
    }
    const auto * data = static_cast<const float *>(r->logits->data);
    logits.insert(logits.end(), data, data + static_cast<size_t>(model.width) * r->built.n_outputs);
    return 0;
}
