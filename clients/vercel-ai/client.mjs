// Vercel's AI SDK, by its OpenAI-compatible and its Anthropic provider.
import assert from "node:assert/strict";
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { GATEWAY_URL, GATEWAY_KEY, MODEL } = process.env;
const address = { baseURL: `${GATEWAY_URL}/v1`, apiKey: GATEWAY_KEY };
const models = {
  openai: () => createOpenAICompatible({ name: "gatewayz", includeUsage: true, ...address })(MODEL),
  anthropic: () => createAnthropic(address)(MODEL),
};
const prompt = "When is high water in Ostend?";

const steps = {
  async chat(model) {
    const answer = await generateText({ model, prompt, maxRetries: 0 });
    assert.equal(answer.usage.outputTokens, 5);
    return answer.text;
  },
  async stream(model) {
    const pieces = [];
    const answer = streamText({ model, prompt, maxRetries: 0 });
    for await (const piece of answer.textStream) pieces.push(piece);
    assert.ok(pieces.length > 1);
    assert.equal((await answer.usage).outputTokens, 5);
    return pieces.join("");
  },
  async tools(model) {
    const tide = tool({
      description: "Time of high water.",
      inputSchema: z.object({ place: z.string() }),
      execute: async ({ place }) => {
        assert.equal(place, "Ostend");
        return "Ostend 07:42";
      },
    });
    const answer = await generateText({ model, prompt, tools: { tide }, stopWhen: stepCountIs(3), maxRetries: 0 });
    return answer.text;
  },
};
const [surface, step] = process.argv[2].split("_");
console.log(await steps[step](models[surface]()));
