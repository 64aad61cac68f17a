/* Asks one HTTP server for the same thing again and again, and prints what that took, as JSON.
 *
 *     load_generator PORT REQUEST kept CONNECTIONS SECONDS
 *     load_generator PORT REQUEST new CONNECTIONS SECONDS
 *     load_generator PORT REQUEST paced PER_SECOND SECONDS [IDLE]
 *
 * REQUEST is a file with the bytes to send; "########" in it becomes another number each time. `kept` asks on connections that stay, each as soon as it
 * has its answer; `new` opens a connection for every request, so many at a time, and closes it as
 * SDKs do, once the answer is whole; `paced` begins one every 1/PER_SECOND seconds, over a new
 * connection, and counts from when it was due; meanwhile IDLE further connections are open.
 * Everything but a whole 200 is an error. One thread, which wants a core of its own.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MOST_CONNECTIONS 1024
#define ANSWER_BYTES 16384
#define MOST_SAMPLES 4000000
/* A client's port is taken for a minute after its connection: there are too few at one address. */
#define ADDRESSES 200

struct client {
    int fd;
    size_t heard;
    double began;
    char answer[ANSWER_BYTES + 1];
};

static struct client clients[MOST_CONNECTIONS];
static uint32_t *microseconds;
static size_t samples;
static unsigned long answered, asked, errors, opened;
static char request[ANSWER_BYTES + 1];
static char *number_of_its_own;
static size_t request_bytes;
static int port;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static double now(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static int connected(void) {
    struct sockaddr_in here = {.sin_family = AF_INET}, there = {.sin_family = AF_INET};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + opened++ % ADDRESSES);
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons((uint16_t)port);
    if (bind(fd, (struct sockaddr *)&here, sizeof here) < 0)
        fail("bind");
    /* On loopback this takes no time but the server's queue's. */
    if (connect(fd, (struct sockaddr *)&there, sizeof there) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void ask(struct client *client) {
    client->heard = 0;
    if (number_of_its_own) {
        char digits[9];
        snprintf(digits, sizeof digits, "%08lu", ++asked % 100000000);
        memcpy(number_of_its_own, digits, 8);
    }
    if (send(client->fd, request, request_bytes, MSG_NOSIGNAL) != (ssize_t)request_bytes)
        errors++;
}

/* How many bytes the answer has in all, 0 as long as nobody can say. */
static size_t whole(struct client *client) {
    char *end, *length;
    client->answer[client->heard] = 0;
    end = strstr(client->answer, "\r\n\r\n");
    if (!end)
        return 0;
    length = strcasestr(client->answer, "\r\ncontent-length:");
    if (!length || length > end)
        return 0;
    return (size_t)(end + 4 - client->answer) + strtoul(length + 17, NULL, 10);
}

/* Read what is there; 1 once the answer is whole, 0 until then, -1 where there will be none. */
static int hear(struct client *client) {
    size_t size;
    ssize_t got = recv(client->fd, client->answer + client->heard, ANSWER_BYTES - client->heard, 0);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (got == 0)
        return -1;
    client->heard += (size_t)got;
    size = whole(client);
    if (!size || client->heard < size)
        return client->heard < ANSWER_BYTES ? 0 : -1;
    return strncmp(client->answer, "HTTP/1.1 200 ", 13) ? -1 : 1;
}

static void count(struct client *client, int outcome) {
    if (outcome < 0) {
        errors++;
        return;
    }
    answered++;
    if (samples < MOST_SAMPLES)
        microseconds[samples++] = (uint32_t)((now() - client->began) * 1e6);
}

static void begin(struct client *client, int loop, int anew) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    client->began = now();
    if (anew) {
        client->fd = connected();
        fcntl(client->fd, F_SETFL, O_NONBLOCK);
        if (epoll_ctl(loop, EPOLL_CTL_ADD, client->fd, &event) < 0)
            fail("epoll_ctl");
    }
    ask(client);
}

static void press(int connections, double seconds, int kept) {
    struct epoll_event events[MOST_CONNECTIONS];
    int loop = epoll_create1(EPOLL_CLOEXEC);
    double end = now() + seconds;
    if (loop < 0)
        fail("epoll_create1");
    for (int n = 0; n < connections; n++)
        begin(&clients[n], loop, 1);
    while (now() < end) {
        int ready = epoll_wait(loop, events, MOST_CONNECTIONS, 100);
        for (int n = 0; n < ready; n++) {
            struct client *client = events[n].data.ptr;
            int outcome = hear(client), anew = !kept || outcome < 0;
            if (!outcome)
                continue;
            count(client, outcome);
            if (anew)
                close(client->fd);
            begin(client, loop, anew);
        }
    }
}

static void pace(double per_second, double seconds, int idle) {
    double first;
    for (int n = 0; n < idle; n++)
        clients[1 + n].fd = connected();
    first = now() + 0.05;
    for (long n = 0; n < (long)(per_second * seconds); n++) {
        int outcome;
        clients[0].began = first + (double)n / per_second;
        /* Without a sleep, which ends when it likes. */
        while (now() < clients[0].began)
            ;
        clients[0].fd = connected();
        ask(&clients[0]);
        while (!(outcome = hear(&clients[0])))
            ;
        close(clients[0].fd);
        count(&clients[0], outcome);
    }
}

static int by_size(const void *left, const void *right) {
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return (a > b) - (a < b);
}

static uint32_t percentile(int percent) {
    return samples ? microseconds[(samples - 1) * (size_t)percent / 100] : 0;
}

int main(int count_of, char **words) {
    FILE *file;
    double began, seconds;
    int number;
    if (count_of < 6) {
        fprintf(stderr, "usage: %s PORT REQUEST kept|new|paced NUMBER SECONDS [IDLE]\n", words[0]);
        return 2;
    }
    port = atoi(words[1]);
    number = atoi(words[4]);
    seconds = atof(words[5]);
    file = fopen(words[2], "rb");
    if (!file)
        fail(words[2]);
    request_bytes = fread(request, 1, ANSWER_BYTES, file);
    number_of_its_own = strstr(request, "########");
    fclose(file);
    microseconds = malloc(MOST_SAMPLES * sizeof *microseconds);
    if (!microseconds || number < 1 || number >= MOST_CONNECTIONS)
        fail("NUMBER");
    began = now();
    if (!strcmp(words[3], "paced"))
        pace(number, seconds, count_of > 6 ? atoi(words[6]) : 0);
    else
        press(number, seconds, !strcmp(words[3], "kept"));
    seconds = now() - began;
    qsort(microseconds, samples, sizeof *microseconds, by_size);
    printf("{\"answered\": %lu, \"errors\": %lu, \"seconds\": %.6f, \"p50\": %u, \"p99\": %u}\n",
           answered, errors, seconds, percentile(50), percentile(99));
    return 0;
}
