// Portkey's package answers every stream with "Something went wrong" on Node 20 ("immutable headers": its server sets headers
// on the very object that fetch returned). A fresh Response around the same body may be changed, and the streams work.
const original = globalThis.fetch;
globalThis.fetch = async (...call) => {
    const answer = await original(...call);
    return new Response(answer.body, answer);
};
