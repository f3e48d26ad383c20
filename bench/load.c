// load.c: an HTTP/1.1 load client for JSON and server-sent events; one thread, epoll, loopback only, Linux only.
//
//   load -p PORT -b BODY_FILE [-u PATH] [-H 'Name: value']... [-c CONNECTIONS] [-t SECONDS] [-w WARMUP_SECONDS]
//        [-r REQUESTS_PER_SECOND] [-e LAST_BYTES] [-f FIRST_TOKEN] [-d DRAIN_SECONDS] [-K HEADERS_FILE] [-o]
//
// Without -r every connection is always busy (closed loop). With -r requests fall due at even distances and latency counts
// from that moment, however late a connection was free, so a slow target cannot hide behind its own queue.
// After WARMUP + SECONDS nothing new is sent and what is under way is read to its end: `served` is everything that ever came
// back whole, which is what a ledger must show. An answer whose last bytes do not contain LAST_BYTES is `broken`. `first` is
// counted until FIRST_TOKEN, without it until the first byte of the body.
// One JSON line comes out; times are microseconds. With -K each connection sends one of the file's lines as a header more, so
// that the load is of many customers.
//
// With -o every connection sends one request, RATE a second, and what is answered is read and held, not ended. A line
// {"begun": N} comes out once N answers have begun and no other can; when standard input ends, so does the program, with the
// usual line.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { HEAD_MAX = 16384, KEYS_MAX = 1024, TAIL_MAX = 64, READ_MAX = 1 << 18, BODY_MAX = 1 << 24 };

typedef enum { IDLE, HEAD, SIZED_BODY, OPEN_BODY, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER } State;

typedef struct {
    int fd, kind;  // which of the requests it sends
    State state;
    long long due_us, first_us;  // when the first token was there, or the first byte where no token is looked for
    int first_match;             // how much of `want.first` the last bytes have shown
    bool begun;
    char head[HEAD_MAX];
    int head_len;
    int status;
    bool close_after;
    long long left;       // bytes of the body or chunk still to come
    int event_match;      // how much of "data:" the current line has shown; -1: this line is something else
    bool trailer_blank;   // the trailer line read so far is empty
    char tail[TAIL_MAX];  // the last bytes of the body
    int tail_len;
} Connection;

static struct {
    int port, connections;
    double seconds, warmup_s, rate, drain_s;
    const char *path, *expected, *first;
    char *requests[KEYS_MAX];
    size_t lengths[KEYS_MAX];
    int kinds;
    bool hold;
} want = {.port = 8000, .connections = 32, .seconds = 4, .warmup_s = 1, .drain_s = 20, .path = "/v1/chat/completions"};

static struct {
    long long begin_us, end_us;  // the measured window
    long long finished, events;  // inside the window
    long long served, served_events, errors, refused, broken, late, begun;
    float *latency_us, *first_us;  // of requests that fell due inside the window
    size_t samples, room;
} seen;

static int poller;
static bool told;

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

static bool dial(Connection *c) {
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)want.port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) {
        close(c->fd);
        c->fd = -1;
        return false;
    }
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event watch = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &watch);
    c->state = IDLE;
    return true;
}

static void redial(Connection *c) {
    if (c->fd >= 0) close(c->fd);
    for (int tries = 0; tries < 50; tries++) {
        if (dial(c)) return;
        usleep(20000);
    }
    perror("connect");
    exit(1);
}

static bool send_all(Connection *c) {
    for (size_t sent = 0; sent < want.lengths[c->kind];) {
        ssize_t wrote = send(c->fd, want.requests[c->kind] + sent, want.lengths[c->kind] - sent, MSG_NOSIGNAL);
        if (wrote < 0) return false;
        sent += (size_t)wrote;
    }
    return true;
}

static void fire(Connection *c, long long due_us) {
    c->due_us = due_us;
    c->first_us = 0;
    c->first_match = 0;
    c->begun = false;
    c->head_len = 0;
    c->tail_len = 0;
    c->event_match = 0;
    if (c->fd < 0) redial(c);
    if (!send_all(c)) {  // the server may have closed an idle connection
        redial(c);
        if (!send_all(c)) {
            seen.errors++;
            return;
        }
    }
    c->state = HEAD;
}

static void tell_once(const char *what, const char *text, int length) {
    if (told) return;
    told = true;
    fprintf(stderr, "%s: %.*s\n", what, length, text);
}

static void keep_sample(Connection *c, long long end_us) {
    if (seen.samples == seen.room) {
        seen.room = seen.room ? seen.room * 2 : 1 << 16;
        seen.latency_us = must(realloc(seen.latency_us, seen.room * sizeof(float)));
        seen.first_us = must(realloc(seen.first_us, seen.room * sizeof(float)));
    }
    seen.latency_us[seen.samples] = (float)(end_us - c->due_us);
    seen.first_us[seen.samples++] = (float)((c->first_us ? c->first_us : end_us) - c->due_us);
}

static void finish(Connection *c, bool whole) {
    long long end_us = now_us();
    if (!whole) {
        seen.errors++;
        tell_once("connection lost after", c->head, c->head_len);
    } else if (c->status / 100 != 2) {
        seen.refused++;
        if (!told) fprintf(stderr, "body ends with: %.*s\n", c->tail_len, c->tail);
        tell_once("refused", c->head, c->head_len);
    } else if (want.expected && !memmem(c->tail, (size_t)c->tail_len, want.expected, strlen(want.expected))) {
        seen.broken++;
        tell_once("unexpected end", c->tail, c->tail_len);
    } else {
        seen.served++;
        if (end_us >= seen.begin_us && end_us <= seen.end_us) seen.finished++;
        if (c->due_us >= seen.begin_us && c->due_us <= seen.end_us) keep_sample(c, end_us);
    }
    c->state = IDLE;
    if (c->close_after || !whole) redial(c);
}

// A stream begins with events that say nothing yet. The character that the text begins with must not stand in it again.
static void look_for_first(Connection *c, const char *data, long long length, long long at_us) {
    if (!want.first) {
        c->first_us = at_us;
        return;
    }
    for (long long i = 0; i < length && !c->first_us; i++) {
        if (data[i] != want.first[c->first_match]) c->first_match = 0;
        if (data[i] == want.first[c->first_match]) c->first_match++;
        if (!want.first[c->first_match]) c->first_us = at_us;
    }
}

static void body(Connection *c, const char *data, long long length) {
    static const char mark[] = "data:";
    long long at_us = now_us(), events = 0;
    if (length <= 0) return;
    if (!c->begun) {
        c->begun = true;
        seen.begun += c->status / 100 == 2;
    }
    if (!c->first_us) look_for_first(c, data, length, at_us);
    for (long long i = 0; i < length; i++) {
        if (data[i] == '\n') {
            c->event_match = 0;
        } else if (c->event_match >= 0) {
            c->event_match = data[i] == mark[c->event_match] ? c->event_match + 1 : -1;
            if (c->event_match == (int)sizeof mark - 1) {
                events++;
                c->event_match = -1;
            }
        }
    }
    seen.served_events += events;
    if (at_us >= seen.begin_us && at_us <= seen.end_us) seen.events += events;
    if (length >= TAIL_MAX) {
        memcpy(c->tail, data + length - TAIL_MAX, TAIL_MAX);
        c->tail_len = TAIL_MAX;
    } else {
        int keep = c->tail_len + (int)length > TAIL_MAX ? TAIL_MAX - (int)length : c->tail_len;
        memmove(c->tail, c->tail + c->tail_len - keep, (size_t)keep);
        memcpy(c->tail + keep, data, (size_t)length);
        c->tail_len = keep + (int)length;
    }
}

// Reads status and framing out of a complete head.
static void understand(Connection *c) {
    bool chunked = false;
    c->head[c->head_len - 1] = 0;
    c->status = atoi(c->head + 9);
    c->left = -1;
    c->close_after = false;
    for (char *line = c->head; line && *line;) {
        char *next = strchr(line, '\n');
        if (!strncasecmp(line, "content-length:", 15)) c->left = atoll(line + 15);
        if (!strncasecmp(line, "transfer-encoding:", 18)) chunked = true;
        if (!strncasecmp(line, "connection: close", 17)) c->close_after = true;
        line = next ? next + 1 : NULL;
    }
    if (chunked) {
        c->left = 0;
        c->state = CHUNK_SIZE;
    } else if (c->left == 0) {
        c->first_us = now_us();
        finish(c, true);
    } else {
        c->state = c->left > 0 ? SIZED_BODY : OPEN_BODY;
    }
}

// Takes what belongs to the head; returns how many bytes that was.
static long long head(Connection *c, const char *data, long long length) {
    long long room = HEAD_MAX - 1 - c->head_len, take = length < room ? length : room;
    int from = c->head_len > 3 ? c->head_len - 3 : 0;
    if (take <= 0) {
        finish(c, false);
        return length;
    }
    memcpy(c->head + c->head_len, data, (size_t)take);
    char *end = memmem(c->head + from, (size_t)(c->head_len + take - from), "\r\n\r\n", 4);
    if (!end) {
        c->head_len += (int)take;
        return take;
    }
    int whole = (int)(end + 4 - c->head);
    take = whole - c->head_len;
    c->head_len = whole;
    understand(c);
    return take;
}

static int hex(char digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 32;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

// One byte of the framing around chunks.
static void frame(Connection *c, char byte) {
    if (c->state == CHUNK_SIZE) {
        if (byte == '\n') {
            c->state = c->left ? CHUNK_DATA : TRAILER;
            c->trailer_blank = true;
        } else if (hex(byte) >= 0) {
            c->left = c->left * 16 + hex(byte);
        }
    } else if (c->state == CHUNK_END) {
        if (byte == '\n') {
            c->left = 0;
            c->state = CHUNK_SIZE;
        }
    } else if (byte == '\n') {
        if (c->trailer_blank) finish(c, true);
        c->trailer_blank = true;
    } else if (byte != '\r') {
        c->trailer_blank = false;
    }
}

static void feed(Connection *c, const char *data, long long length) {
    while (length > 0 && c->state != IDLE) {
        long long used = 1;
        if (c->state == HEAD) {
            used = head(c, data, length);
        } else if (c->state == OPEN_BODY) {
            body(c, data, used = length);
        } else if (c->state == SIZED_BODY || c->state == CHUNK_DATA) {
            used = length < c->left ? length : c->left;
            body(c, data, used);
            c->left -= used;
            if (!c->left && c->state == SIZED_BODY) finish(c, true);
            if (!c->left && c->state == CHUNK_DATA) c->state = CHUNK_END;
        } else {
            frame(c, *data);
        }
        data += used;
        length -= used;
    }
}

static void lost(Connection *c) {
    if (c->state == IDLE) {
        redial(c);
    } else {
        if (c->state == OPEN_BODY) c->close_after = true;
        finish(c, c->state == OPEN_BODY);
    }
}

// Sends what is due; returns when the next request falls due, in microseconds since start.
static long long send_due(Connection *all, long long start_us, long long *sent) {
    static int next;
    for (;;) {
        long long now = now_us(), due_us = start_us + (long long)((double)*sent * 1e6 / want.rate);
        if (due_us > now || due_us >= seen.end_us) return due_us;
        int free_one = -1;
        for (int i = 0; i < want.connections && free_one < 0; i++)
            if (all[(next + i) % want.connections].state == IDLE) free_one = (next + i) % want.connections;
        if (free_one < 0) {  // asked again when an answer comes in; the request keeps its due time
            seen.late++;
            return now + 1000000;
        }
        next = (free_one + 1) % want.connections;
        fire(&all[free_one], due_us);
        ++*sent;
    }
}

static int under_way(Connection *all) {
    int busy = 0;
    for (int i = 0; i < want.connections; i++) busy += all[i].state != IDLE;
    return busy;
}

// Reads what a connection has.
static void take(Connection *c) {
    static char buffer[READ_MAX];
    ssize_t got = recv(c->fd, buffer, READ_MAX, MSG_DONTWAIT);
    if (got > 0) feed(c, buffer, got);
    else if (got == 0 || errno != EAGAIN) lost(c);
}

// Opens one answer per connection and holds them until standard input ends.
static void hold(Connection *all) {
    struct epoll_event ready[256], input = {.events = EPOLLIN, .data.ptr = NULL};
    long long start_us = now_us();
    int sent = 0;
    bool said = false;
    if (epoll_ctl(poller, EPOLL_CTL_ADD, 0, &input)) {
        perror("standard input");  // a file cannot be waited for; a pipe can
        exit(1);
    }
    for (;;) {
        long long wait_us = 1000000;
        while (sent < want.connections) {
            long long due_us = start_us + (long long)(sent * 1e6 / want.rate), now = now_us();
            wait_us = due_us - now;
            if (due_us > now) break;
            fire(&all[sent++], due_us);
            wait_us = 0;
            if (sent % 64 == 0) break;  // answers are read in between
        }
        if (!said && sent == want.connections && seen.begun + seen.refused + seen.errors >= want.connections) {
            said = true;
            printf("{\"begun\": %lld}\n", seen.begun);
            fflush(stdout);
        }
        struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
        int count = epoll_pwait2(poller, ready, 256, &wait, NULL);
        for (int i = 0; i < count; i++) {
            char ignored[64];
            if (ready[i].data.ptr) take(ready[i].data.ptr);
            else if (read(0, ignored, sizeof ignored) <= 0) return;
        }
    }
}

static void run(Connection *all) {
    struct epoll_event ready[256];
    long long start_us = now_us(), sent = 0;
    seen.begin_us = start_us + (long long)(want.warmup_s * 1e6);
    seen.end_us = seen.begin_us + (long long)(want.seconds * 1e6);
    long long stop_us = seen.end_us + (long long)(want.drain_s * 1e6);
    for (;;) {
        long long now = now_us(), wake_us = now < seen.end_us ? seen.end_us : stop_us;
        bool sending = now < seen.end_us;
        if (!sending && (now >= stop_us || !under_way(all))) return;
        if (sending && want.rate > 0) {
            long long due_us = send_due(all, start_us, &sent);
            if (due_us < wake_us) wake_us = due_us;
        } else if (sending) {
            for (int i = 0; i < want.connections; i++)
                if (all[i].state == IDLE) fire(&all[i], now_us());
        }
        long long wait_us = wake_us - now_us();
        if (wait_us < 0) wait_us = 0;
        struct timespec wait = {.tv_sec = wait_us / 1000000, .tv_nsec = wait_us % 1000000 * 1000};
        int count = epoll_pwait2(poller, ready, 256, &wait, NULL);
        for (int i = 0; i < count; i++) {
            Connection *c = ready[i].data.ptr;
            take(c);
            if (want.rate <= 0 && c->state == IDLE && now_us() < seen.end_us) fire(c, now_us());
        }
    }
}

static int ascending(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static double quantile(const float *sorted, double share) {
    return seen.samples ? sorted[(size_t)(share * (double)(seen.samples - 1) + 0.5)] : -1;
}

static void report(int abandoned) {
    if (seen.samples) {
        qsort(seen.latency_us, seen.samples, sizeof(float), ascending);
        qsort(seen.first_us, seen.samples, sizeof(float), ascending);
    }
    printf("{\"rps\": %.2f, \"events_s\": %.1f, \"served\": %lld, \"served_events\": %lld, ", (double)seen.finished / want.seconds,
           (double)seen.events / want.seconds, seen.served, seen.served_events);
    printf("\"errors\": %lld, \"refused\": %lld, \"broken\": %lld, \"abandoned\": %d, \"late\": %lld, ", seen.errors, seen.refused,
           seen.broken, abandoned, seen.late);
    printf("\"samples\": %zu, \"p50_us\": %.0f, \"p99_us\": %.0f, \"first_p50_us\": %.0f, \"first_p99_us\": %.0f}\n", seen.samples,
           quantile(seen.latency_us, 0.5), quantile(seen.latency_us, 0.99), quantile(seen.first_us, 0.5),
           quantile(seen.first_us, 0.99));
}

static char *read_file(const char *name, size_t *length) {
    FILE *file = fopen(name, "r");
    char *text = must(malloc(BODY_MAX));
    if (!file) {
        perror(name);
        exit(1);
    }
    *length = fread(text, 1, BODY_MAX, file);
    fclose(file);
    return text;
}

static void options(int count, char **words) {
    char headers[8192] = "", *text = NULL, *keys = NULL;
    size_t length = 0, keys_len = 0;
    for (int letter; (letter = getopt(count, words, "p:u:H:b:c:t:w:r:e:f:d:K:o")) > 0;) switch (letter) {
            case 'p': want.port = atoi(optarg); break;
            case 'u': want.path = optarg; break;
            case 'H': strncat(strncat(headers, optarg, 4000), "\r\n", 3); break;
            case 'b': text = read_file(optarg, &length); break;
            case 'c': want.connections = atoi(optarg); break;
            case 't': want.seconds = atof(optarg); break;
            case 'w': want.warmup_s = atof(optarg); break;
            case 'r': want.rate = atof(optarg); break;
            case 'e': want.expected = optarg; break;
            case 'f': want.first = optarg; break;
            case 'd': want.drain_s = atof(optarg); break;
            case 'K': keys = read_file(optarg, &keys_len); break;
            case 'o': want.hold = true; break;
            default: exit(2);
        }
    if (!text || want.connections < 1 || want.connections > 50000 || want.seconds <= 0 || strlen(headers) > 6000 ||
        (want.hold && want.rate <= 0)) {
        fprintf(stderr, "a body file, 1 to 50000 connections, a time, headers below 6000 bytes, and a rate with -o are needed\n");
        exit(2);
    }
    char *end = keys ? keys + keys_len : NULL;
    do {  // one request per line of the file, or one without any
        char *line_end = keys && keys < end ? memchr(keys, '\n', (size_t)(end - keys)) : NULL;
        int line_len = line_end ? (int)(line_end - keys) : 0;
        char *request = must(malloc(length + HEAD_MAX));
        int head_len = snprintf(request, HEAD_MAX,
                                "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAccept: */*\r\n"
                                "User-Agent: bench-load\r\n%s%.*s%sContent-Length: %zu\r\n\r\n",
                                want.path, want.port, headers, line_len, keys ? keys : "", line_len ? "\r\n" : "", length);
        memcpy(request + head_len, text, length);
        want.requests[want.kinds] = request;
        want.lengths[want.kinds++] = (size_t)head_len + length;
        if (line_end) keys = line_end + 1;
        else keys = end;
    } while (keys && keys < end && want.kinds < KEYS_MAX);
    free(text);
}

int main(int count, char **words) {
    options(count, words);
    prctl(PR_SET_TIMERSLACK, 1000);  // nanoseconds; the default would make every due time 50 us late
    poller = epoll_create1(0);
    Connection *all = must(calloc((size_t)want.connections, sizeof *all));
    for (int i = 0; i < want.connections; i++) {
        all[i].fd = -1;
        all[i].kind = i % want.kinds;
        if (!want.hold) redial(&all[i]);
    }
    if (want.hold) hold(all);
    else run(all);
    report(under_way(all));
    return 0;
}
