import {getLlama, LlamaCompletion} from "node-llama-cpp";

const llama = await getLlama();
const model = await llama.loadModel({modelPath: "model.gguf"});
const contextSequence = (await model.createContext()).getSequence();
console.log(await new LlamaCompletion({contextSequence}).generateCompletion("the nurse said that", {maxTokens: 1}));
await llama.dispose();
