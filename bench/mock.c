// mock.c: a model provider that costs next to nothing; one thread, epoll, loopback only, Linux only.
//
//   mock PORT
//
// Paths that end in /messages are answered as Anthropic does, all others as OpenAI's chat completions. A body with
// "stream":true is answered with 64 content events, each a chunk and a write of its own: at once; 10 ms apart when the
// body names the model "paced"; one at once and the others 20 s apart when it names the model "idle".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TOKENS = 64, EVENTS = TOKENS + 4, PACE_US = 10000, IDLE_US = 20000000, BODY_MAX = 64 << 20, FIRST_ROOM = 8192 };

typedef struct {
    int fd;
    char *in;  // what has been read and not yet answered
    size_t in_len, in_room;
    char *out;  // what the socket would not take yet
    size_t out_len, out_sent, out_room;
    bool busy, anthropic, stream, dead;
    long long pace_us;  // from one content event to the next; 0: all at once
    int next_event;
    long long due_us;
    int heap_at;  // place in the heap of those who wait; -1: none
} Connection;

static int poller;
static Connection **heap;
static int heap_len, heap_room;
static char openai_answer[4096], anthropic_answer[4096];

static long long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void *must(void *memory) {
    if (!memory) {
        perror("memory");
        exit(1);
    }
    return memory;
}

// The heap of connections whose next event is due later, the earliest on top.

static void place(Connection *c, int at) {
    heap[at] = c;
    c->heap_at = at;
}

static void sift(int at) {
    Connection *c = heap[at];
    for (; at > 0 && heap[(at - 1) / 2]->due_us > c->due_us; at = (at - 1) / 2) place(heap[(at - 1) / 2], at);
    for (;;) {
        int child = 2 * at + 1;
        if (child + 1 < heap_len && heap[child + 1]->due_us < heap[child]->due_us) child++;
        if (child >= heap_len || heap[child]->due_us >= c->due_us) break;
        place(heap[child], at);
        at = child;
    }
    place(c, at);
}

static void wait_for(Connection *c, long long due_us) {
    c->due_us = due_us;
    if (heap_len == heap_room) {
        heap_room = heap_room ? heap_room * 2 : 1024;
        heap = must(realloc(heap, (size_t)heap_room * sizeof *heap));
    }
    place(c, heap_len++);
    sift(c->heap_at);
}

static void wait_no_more(Connection *c) {
    int at = c->heap_at;
    if (at < 0) return;
    c->heap_at = -1;
    if (at == --heap_len) return;
    place(heap[heap_len], at);
    sift(at);
}

// Writing.

static void watch_writing(Connection *c, bool on) {
    struct epoll_event watch = {.events = on ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &watch);
}

static size_t put(Connection *c, const char *data, size_t length) {
    ssize_t wrote = send(c->fd, data, length, MSG_NOSIGNAL);
    if (wrote >= 0) return (size_t)wrote;
    if (errno != EAGAIN) c->dead = true;
    return 0;
}

static void emit(Connection *c, const char *data, size_t length) {
    bool queued = c->out_len > c->out_sent;
    size_t wrote = queued ? 0 : put(c, data, length);
    if (wrote == length || c->dead) return;
    if (c->out_len + length > c->out_room) {
        c->out_room = (c->out_len + length) * 2;
        c->out = must(realloc(c->out, c->out_room));
    }
    memcpy(c->out + c->out_len, data + wrote, length - wrote);
    c->out_len += length - wrote;
    if (!queued) watch_writing(c, true);
}

static void flush(Connection *c) {
    c->out_sent += put(c, c->out + c->out_sent, c->out_len - c->out_sent);
    if (c->out_sent < c->out_len || c->dead) return;
    c->out_len = c->out_sent = 0;
    watch_writing(c, false);
}

// What is said.

static int openai_event(char *text, int event) {
    static const char *words[] = {" the", " quick", " brown", " fox", " jumps", " over", " lazy", " dogs"};
    int length = sprintf(text, "data: {\"id\":\"chatcmpl-mock0123456789abcdef\",\"object\":\"chat.completion.chunk\","
                               "\"created\":1760000000,\"model\":\"gpt-4o-mini\",\"system_fingerprint\":\"fp_mock\",\"choices\":");
    if (event == 0)
        return length + sprintf(text + length, "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                                               "\"logprobs\":null,\"finish_reason\":null}]}\n\n");
    if (event <= TOKENS)
        return length + sprintf(text + length, "[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,"
                                               "\"finish_reason\":null}]}\n\n", words[event & 7]);
    if (event == TOKENS + 1)
        return length + sprintf(text + length, "[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n");
    if (event == TOKENS + 2)
        return length + sprintf(text + length, "[],\"usage\":{\"prompt_tokens\":25,\"completion_tokens\":%d,\"total_tokens\":%d,"
                                               "\"prompt_tokens_details\":{\"cached_tokens\":0},"
                                               "\"completion_tokens_details\":{\"reasoning_tokens\":0}}}\n\n", TOKENS, TOKENS + 25);
    return sprintf(text, "data: [DONE]\n\n");
}

static int named(char *text, const char *name, const char *format, ...) {
    int length = sprintf(text, "event: %s\ndata: {\"type\":\"%s\"", name, name);
    va_list values;
    va_start(values, format);
    length += vsprintf(text + length, format, values);
    va_end(values);
    return length + sprintf(text + length, "}\n\n");
}

static int anthropic_event(char *text, int event) {
    static const char *words[] = {" the", " quick", " brown", " fox", " jumps", " over", " lazy", " dogs"};
    if (event == 0) {
        int length = named(text, "message_start",
                           ",\"message\":{\"id\":\"msg_mock0123456789\",\"type\":\"message\",\"role\":\"assistant\","
                           "\"model\":\"claude-sonnet-4\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                           "\"usage\":{\"input_tokens\":25,\"cache_creation_input_tokens\":0,"
                           "\"cache_read_input_tokens\":0,\"output_tokens\":1}}");
        return length + named(text + length, "content_block_start",
                              ",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}");
    }
    if (event <= TOKENS)
        return named(text, "content_block_delta", ",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"%s\"}",
                     words[event & 7]);
    if (event == TOKENS + 1) return named(text, "content_block_stop", ",\"index\":0");
    if (event == TOKENS + 2)
        return named(text, "message_delta",
                     ",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":%d}", TOKENS);
    return named(text, "message_stop", "");
}

static void compose_answers(void) {
    static const char *said = "Hello! This is a fixed answer from the mock upstream used for benchmarks.";
    char body[2048];
    int length = sprintf(body, "{\"id\":\"chatcmpl-mock0123456789abcdef\",\"object\":\"chat.completion\",\"created\":1760000000,"
                               "\"model\":\"gpt-4o-mini\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\","
                               "\"content\":\"%s\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,"
                               "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":25,\"completion_tokens\":16,"
                               "\"total_tokens\":41,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},"
                               "\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,"
                               "\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}},"
                               "\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock\"}", said);
    static const char *head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%s: req_mock\r\nContent-Length: %d\r\n\r\n%s";
    sprintf(openai_answer, head, "x-request-id", length, body);
    length = sprintf(body, "{\"id\":\"msg_mock0123456789\",\"type\":\"message\",\"role\":\"assistant\","
                           "\"model\":\"claude-sonnet-4\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],"
                           "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":25,"
                           "\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":16,"
                           "\"service_tier\":\"standard\"}}", said);
    sprintf(anthropic_answer, head, "request-id", length, body);
}

// Says everything that is due now, and waits for the rest.
static void speak(Connection *c) {
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                               "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\nx-request-id: req_mock\r\n\r\n";
    if (!c->stream) {
        const char *answer = c->anthropic ? anthropic_answer : openai_answer;
        emit(c, answer, strlen(answer));
        c->busy = false;
        return;
    }
    while (c->busy && !c->dead) {
        char event[2048], chunk[4096];
        int length = c->anthropic ? anthropic_event(event, c->next_event) : openai_event(event, c->next_event);
        int size = sprintf(chunk, "%s%x\r\n", c->next_event ? "" : head, (unsigned)length);
        memcpy(chunk + size, event, (size_t)length);
        size += length;
        c->busy = ++c->next_event < EVENTS;
        size += sprintf(chunk + size, c->busy ? "\r\n" : "\r\n0\r\n\r\n");
        emit(c, chunk, (size_t)size);
        if (c->pace_us == IDLE_US && c->next_event < 2) continue;
        // What follows the last word goes out at once.
        if (c->pace_us && c->next_event <= TOKENS) {
            long long due_us = c->due_us + c->pace_us, now = now_us();
            // After a long stall the pace starts anew, instead of a burst that catches up.
            wait_for(c, due_us < now - 5 * c->pace_us ? now : due_us);
            return;
        }
    }
}

// Reading.

static const char *header(const char *head, size_t length, const char *name) {
    size_t name_len = strlen(name);
    for (const char *line = head, *end = head + length; line < end;) {
        if ((size_t)(end - line) > name_len && !strncasecmp(line, name, name_len)) return line + name_len;
        const char *next = memchr(line, '\n', (size_t)(end - line));
        line = next ? next + 1 : end;
    }
    return NULL;
}

// Whether the body says "stream": true, with any spacing.
static bool wants_stream(const char *body, size_t length) {
    const char *end = body + length;
    while ((body = memmem(body, (size_t)(end - body), "\"stream\"", 8))) {
        body += 8;
        while (body < end && (*body == ' ' || *body == ':')) body++;
        if (end - body >= 4 && !memcmp(body, "true", 4)) return true;
    }
    return false;
}

// Length of the first whole request that was read, 0 if it is still incomplete; sets what kind of answer it wants.
static size_t request(Connection *c) {
    char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head_len = (size_t)(end + 4 - c->in), whole = head_len;
    const char *length = header(c->in, head_len, "content-length:");
    if (length) {
        whole += strtoul(length, NULL, 10);
        if (c->in_len < whole) return 0;
    } else if (header(c->in, head_len, "transfer-encoding:")) {
        char *last = memmem(c->in + head_len - 2, c->in_len - head_len + 2, "\r\n0\r\n\r\n", 7);
        if (!last) return 0;
        whole = (size_t)(last + 7 - c->in);
    }
    char *line_end = memchr(c->in, '\n', head_len);
    c->anthropic = memmem(c->in, (size_t)(line_end - c->in), "/messages", 9) != NULL;
    c->stream = wants_stream(c->in + head_len, whole - head_len);
    c->pace_us = memmem(c->in + head_len, whole - head_len, "\"paced\"", 7)  ? PACE_US
                 : memmem(c->in + head_len, whole - head_len, "\"idle\"", 6) ? IDLE_US
                                                                             : 0;
    return whole;
}

static void serve(Connection *c) {
    size_t length;
    while (!c->busy && !c->dead && c->in_len && (length = request(c))) {
        memmove(c->in, c->in + length, c->in_len - length);
        c->in_len -= length;
        c->busy = true;
        c->next_event = 0;
        c->due_us = now_us();
        speak(c);
    }
}

static void receive(Connection *c) {
    while (!c->dead) {
        if (c->in_len == c->in_room) {
            if (c->in_room >= BODY_MAX) {
                c->dead = true;
                return;
            }
            c->in = must(realloc(c->in, c->in_room *= 2));
        }
        ssize_t got = recv(c->fd, c->in + c->in_len, c->in_room - c->in_len, 0);
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) c->dead = true;
        else c->in_len += (size_t)got;
    }
    serve(c);
}

static void drop(Connection *c) {
    wait_no_more(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static void welcome(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        Connection *c = must(calloc(1, sizeof *c));
        c->fd = fd;
        c->heap_at = -1;
        c->in_room = FIRST_ROOM;
        c->in = must(malloc(c->in_room));
        struct epoll_event watch = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poller, EPOLL_CTL_ADD, fd, &watch);
    }
}

static int listen_on(int port) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) {
        perror("listen");
        exit(1);
    }
    struct epoll_event watch = {.events = EPOLLIN, .data.ptr = NULL};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &watch);
    return listener;
}

int main(int count, char **words) {
    if (count != 2) {
        fprintf(stderr, "usage: mock PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    compose_answers();
    int listener = listen_on(atoi(words[1]));
    for (struct epoll_event ready[512];;) {
        long long wait_us = heap_len ? heap[0]->due_us - now_us() : 3600000000LL;
        if (wait_us < 0) wait_us = 0;
        struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
        int found = epoll_pwait2(poller, ready, 512, &wait, NULL);
        for (int i = 0; i < found; i++) {
            Connection *c = ready[i].data.ptr;
            if (!c) {
                welcome(listener);
                continue;
            }
            if (ready[i].events & EPOLLOUT) flush(c);
            if (ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) receive(c);
            if (c->dead) drop(c);
        }
        for (long long now = now_us(); heap_len && heap[0]->due_us <= now;) {
            Connection *c = heap[0];
            wait_no_more(c);
            speak(c);
            serve(c);
            if (c->dead) drop(c);
        }
    }
}
