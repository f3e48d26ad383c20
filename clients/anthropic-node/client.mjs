// The official Anthropic client for Node.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const { GATEWAY_URL, GATEWAY_KEY, MODEL } = process.env;
const client = new Anthropic({ baseURL: GATEWAY_URL, apiKey: GATEWAY_KEY, maxRetries: 0 });
const question = { role: "user", content: "When is high water in Ostend?" };
const common = { model: MODEL, max_tokens: 200 };

const steps = {
  async chat() {
    const answer = await client.messages.create({ ...common, messages: [question] });
    assert.equal(answer.usage.output_tokens, 5);
    return answer.content[0].text;
  },
  async stream() {
    const pieces = [];
    const stream = client.messages.stream({ ...common, messages: [question] }).on("text", (piece) => pieces.push(piece));
    const answer = await stream.finalMessage();
    assert.ok(pieces.length > 1);
    assert.equal(answer.usage.output_tokens, 5);
    return pieces.join("");
  },
  async tools() {
    const schema = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };
    const tools = [{ name: "tide", description: "Time of high water.", input_schema: schema }];
    const first = await client.messages.create({ ...common, messages: [question], tools });
    const call = first.content.find((block) => block.type === "tool_use");
    assert.deepEqual(call.input, { place: "Ostend" });
    const result = { type: "tool_result", tool_use_id: call.id, content: "Ostend 07:42" };
    const told = [question, { role: "assistant", content: first.content }, { role: "user", content: [result] }];
    return (await client.messages.create({ ...common, messages: told, tools })).content[0].text;
  },
};
console.log(await steps[process.argv[2]]());
