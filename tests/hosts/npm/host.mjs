// Evaluates tokens in node-llama-cpp and prints the probabilities of every next token as JSON, ordered by token.
// Arguments: MODEL TOKEN...
import {getLlama} from "node-llama-cpp";

const [modelPath, ...tokens] = process.argv.slice(2);
const llama = await getLlama({build: "never", skipDownload: true, gpu: false, logLevel: "warn", progressLogs: false});
const model = await llama.loadModel({modelPath, gpuLayers: 0});
const context = await model.createContext({contextSize: 256, threads: 1});
const options = {generateNext: {probabilities: true}};
const steps = await context.getSequence().controlledEvaluate(tokens.map((token) => [Number(token), options]));
for (const {next} of steps)
    console.log(JSON.stringify([...next.probabilities].sort(([a], [b]) => a - b).map(([, probability]) => probability)));
await llama.dispose();
