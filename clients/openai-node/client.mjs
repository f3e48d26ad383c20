// The official OpenAI client for Node: chats, and the Responses API.
import assert from "node:assert/strict";
import OpenAI from "openai";

const { GATEWAY_URL, GATEWAY_KEY, MODEL: model } = process.env;
const client = new OpenAI({ baseURL: `${GATEWAY_URL}/v1`, apiKey: GATEWAY_KEY, maxRetries: 0 });
const question = { role: "user", content: "When is high water in Ostend?" };
const parameters = { type: "object", properties: { place: { type: "string" } }, required: ["place"] };

function tide(text) {
  assert.deepEqual(JSON.parse(text), { place: "Ostend" });
  return "Ostend 07:42";
}

const steps = {
  async openai_chat() {
    const answer = await client.chat.completions.create({ model, messages: [question] });
    assert.equal(answer.usage.total_tokens, 15);
    return answer.choices[0].message.content;
  },
  async openai_stream() {
    const pieces = [];
    const stream = await client.chat.completions.create({ model, messages: [question], stream: true });
    for await (const chunk of stream) if (chunk.choices[0]?.delta?.content) pieces.push(chunk.choices[0].delta.content);
    assert.ok(pieces.length > 1);
    return pieces.join("");
  },
  async openai_tools() {
    const tools = [{ type: "function", function: { name: "tide", parameters } }];
    const first = await client.chat.completions.create({ model, messages: [question], tools });
    const { message } = first.choices[0];
    const call = message.tool_calls[0];
    const result = { role: "tool", tool_call_id: call.id, content: tide(call.function.arguments) };
    const second = await client.chat.completions.create({ model, messages: [question, message, result], tools });
    return second.choices[0].message.content;
  },
  async responses_chat() {
    return (await client.responses.create({ model, input: question.content })).output_text;
  },
  async responses_stream() {
    const pieces = [];
    const stream = await client.responses.create({ model, input: question.content, stream: true });
    for await (const event of stream) if (event.type === "response.output_text.delta") pieces.push(event.delta);
    assert.ok(pieces.length > 1);
    return pieces.join("");
  },
  async responses_tools() {
    const tools = [{ type: "function", name: "tide", parameters, strict: false }];
    const first = await client.responses.create({ model, input: question.content, tools });
    const call = first.output.find((item) => item.type === "function_call");
    const input = [{ type: "function_call_output", call_id: call.call_id, output: tide(call.arguments) }];
    return (await client.responses.create({ model, input, tools, previous_response_id: first.id })).output_text;
  },
};
console.log(await steps[process.argv[2]]());
