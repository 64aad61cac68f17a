// What the default chain takes in this environment: where it says it has it from, or why not.
import { fromNodeProviderChain } from "@aws-sdk/credential-providers";

try {
  const { $source } = await fromNodeProviderChain()();
  console.log(JSON.stringify({ source: Object.keys($source ?? {}) }));
} catch (error) {
  console.log(JSON.stringify({ source: [], error: `${error.name}: ${error.message}` }));
}
