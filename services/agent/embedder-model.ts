// The model that AnythingLLM's embedder really uses, whatever EMBEDDING_MODEL_PREF says.

/** What AnythingLLM v1.16 takes where EMBEDDING_MODEL_PREF says nothing (server/utils/EmbeddingEngines). Other engines have no default. */
const defaultModels: Readonly<Record<string, string>> = {
  cohere: 'embed-english-v3.0',
  gemini: 'gemini-embedding-001',
  litellm: 'text-embedding-ada-002',
  mistral: 'mistral-embed',
  openai: 'text-embedding-ada-002',
  openrouter: 'baai/bge-m3',
  voyageai: 'voyage-3-lite',
};

const nativeModels = ['Xenova/all-MiniLM-L6-v2', 'Xenova/nomic-embed-text-v1', 'MintplexLabs/multilingual-e5-small'] as const;

/** The model that is really in force, so that replicas which say the same in different ways have the same fingerprint. */
export function resolveModel(engine: string, preferred: string | undefined): string {
  if (engine !== 'native') return preferred ?? defaultModels[engine] ?? '';
  return nativeModels.find((model) => model === preferred) ?? nativeModels[0];
}
