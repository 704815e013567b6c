// Replays groups of HTTP/1.1 requests over keep-alive connections: one thread and one connection per client, each client
// taking the next group when its last one is done. wrk cannot do this: it waits for the body of a HEAD response.
//
//   replay HOST PORT CLIENTS SECONDS FILE [RATE]
//
// FILE has one `METHOD PATH` per line; an empty line ends a group. SECONDS 0 goes through the file once, else it is repeated
// for that long. With RATE (groups a second in all) a client waits for its next turn, and times count from that turn on, so that a
// late answer makes the next ones late too. Prints one line of JSON; times are microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 * 1024)
#define SILENCE_SECONDS 120

struct request { char *text; size_t length; int head; };
struct samples { unsigned *first, *total; size_t count, room; };
struct client { pthread_t thread; struct samples samples; unsigned long long bytes, failed; char reason[160]; };

static struct request *requests;
static size_t request_count;
static size_t *groups; // index of the first request of each group; one more entry closes the last
static size_t group_count;
static struct sockaddr_in address;
static double deadline; // 0: once through the file
static double pause_between, begun; // seconds between two groups of all clients; 0: as fast as it goes
static atomic_size_t next_group;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void die(const char *what) {
  fprintf(stderr, "replay: %s\n", what);
  exit(1);
}

static void *room(void *old, size_t bytes) {
  void *memory = realloc(old, bytes);
  if (!memory) die("out of memory");
  return memory;
}

static void read_requests(const char *path, const char *host, const char *port) {
  FILE *file = fopen(path, "r");
  if (!file) die("cannot open the request file");
  char line[4096], method[16], target[4000];
  int open = 0;
  groups = room(NULL, sizeof *groups);
  while (fgets(line, sizeof line, file)) {
    if (sscanf(line, "%15s %3999s", method, target) != 2) {
      open = 0;
      continue;
    }
    if (!open) {
      groups = room(groups, (group_count + 2) * sizeof *groups);
      groups[group_count++] = request_count;
      open = 1;
    }
    requests = room(requests, (request_count + 1) * sizeof *requests);
    struct request *r = &requests[request_count++];
    int length = asprintf(&r->text,
                          "%s %s HTTP/1.1\r\nHost: %s:%s\r\nUser-Agent: replay\r\nAccept: "
                          "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, */*\r\n\r\n",
                          method, target, host, port);
    if (length < 0) die("out of memory");
    r->length = length;
    r->head = !strcmp(method, "HEAD");
  }
  fclose(file);
  if (!group_count) die("no requests");
  groups[group_count] = request_count;
}

static int connected(void) {
  int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct timeval silence = {SILENCE_SECONDS, 0};
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof silence);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

static void record(struct samples *s, double first, double total) {
  if (s->count == s->room) {
    s->room = s->room ? 2 * s->room : 1024;
    s->first = room(s->first, s->room * sizeof *s->first);
    s->total = room(s->total, s->room * sizeof *s->total);
  }
  s->first[s->count] = first * 1e6;
  s->total[s->count++] = total * 1e6;
}

static int failed(struct client *c, const char *reason, const char *detail) {
  if (!c->failed++) snprintf(c->reason, sizeof c->reason, "%s %.60s", reason, detail);
  return 0;
}

/** Returns whether the connection can be used again. */
static int exchange(struct client *c, int fd, const struct request *r, char *buffer, double turn) {
  double start = turn ? turn : now(), first = 0;
  for (size_t sent = 0; sent < r->length;) {
    ssize_t n = send(fd, r->text + sent, r->length - sent, MSG_NOSIGNAL);
    if (n <= 0) return failed(c, "send", "");
    sent += n;
  }
  size_t got = 0;
  char *end = NULL;
  while (!end) {
    if (got == BUFFER - 1) return failed(c, "headers too long", "");
    ssize_t n = recv(fd, buffer + got, BUFFER - 1 - got, 0);
    if (n <= 0) return failed(c, "closed before headers", "");
    if (!got) first = now();
    got += n;
    buffer[got] = 0;
    end = strstr(buffer, "\r\n\r\n");
  }
  *end = 0;
  char *status = strchr(buffer, ' '), *length = strcasestr(buffer, "\r\ncontent-length:");
  if (!status || strncmp(status, " 200 ", 5)) return failed(c, "status", status ? strtok(status + 1, "\r") : "");
  if (!length) return failed(c, "no content-length", "");
  int reusable = !strcasestr(buffer, "\r\nconnection: close");
  unsigned long long body = r->head ? 0 : strtoull(length + 17, NULL, 10), have = got - (end + 4 - buffer);
  c->bytes += have;
  while (have < body) {
    if (deadline && now() > deadline) return 0;
    ssize_t n = recv(fd, buffer, BUFFER, 0);
    if (n <= 0) return failed(c, "closed in the body", "");
    have += n;
    c->bytes += n;
  }
  if (have > body) return failed(c, "more bytes than announced", "");
  record(&c->samples, first - start, now() - start);
  return reusable;
}

static void *run_client(void *argument) {
  struct client *c = argument;
  char *buffer = room(NULL, BUFFER);
  int fd = -1;
  for (;;) {
    size_t taken = atomic_fetch_add(&next_group, 1);
    if (deadline ? now() > deadline : taken >= group_count) break;
    size_t group = taken % group_count;
    double turn = pause_between ? begun + taken * pause_between : 0;
    double early = turn - now(); // read once: a turn that comes between two looks would be a sleep of an hour
    if (early > 0) usleep(early * 1e6);
    for (size_t i = groups[group]; i < groups[group + 1]; i++) {
      if (fd < 0 && (fd = connected()) < 0) {
        failed(c, "connect", "");
        usleep(10000);
        continue;
      }
      if (!exchange(c, fd, &requests[i], buffer, i == groups[group] ? turn : 0)) {
        close(fd);
        fd = -1;
      }
      if (deadline && now() > deadline) break;
    }
  }
  if (fd >= 0) close(fd);
  free(buffer);
  return NULL;
}

static int ascending(const void *a, const void *b) {
  unsigned x = *(const unsigned *)a, y = *(const unsigned *)b;
  return (x > y) - (x < y);
}

static void print_times(const char *name, unsigned *times, size_t count) {
  qsort(times, count, sizeof *times, ascending);
#define AT(share) (count ? times[(size_t)((count - 1) * (share))] : 0)
  printf(",\"%s\":{\"p50\":%u,\"p99\":%u,\"max\":%u}", name, AT(0.5), AT(0.99), AT(1.0));
}

int main(int argc, char **argv) {
  if (argc != 6 && argc != 7) die("usage: replay HOST PORT CLIENTS SECONDS FILE [RATE]");
  size_t clients = strtoul(argv[3], NULL, 10);
  double seconds = strtod(argv[4], NULL);
  address.sin_family = AF_INET;
  address.sin_port = htons(atoi(argv[2]));
  if (!clients || inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) die("bad host or number of clients");
  read_requests(argv[5], argv[1], argv[2]);
  struct client *all = calloc(clients, sizeof *all);
  if (!all) die("out of memory");
  double start = now(), rate = argc > 6 ? atof(argv[6]) : 0;
  begun = start;
  pause_between = rate > 0 ? 1 / rate : 0;
  deadline = seconds > 0 ? start + seconds : 0;
  for (size_t i = 0; i < clients; i++)
    if (pthread_create(&all[i].thread, NULL, run_client, &all[i])) die("cannot start a thread");
  struct samples sum = {0};
  unsigned long long bytes = 0, errors = 0;
  const char *reason = "";
  for (size_t i = 0; i < clients; i++) pthread_join(all[i].thread, NULL);
  double taken = now() - start;
  for (size_t i = 0; i < clients; i++) {
    struct samples *s = &all[i].samples;
    sum.first = room(sum.first, (sum.count + s->count + 1) * sizeof *sum.first);
    sum.total = room(sum.total, (sum.count + s->count + 1) * sizeof *sum.total);
    for (size_t j = 0; j < s->count; j++, sum.count++) {
      sum.first[sum.count] = s->first[j];
      sum.total[sum.count] = s->total[j];
    }
    bytes += all[i].bytes;
    errors += all[i].failed;
    if (all[i].failed && !*reason) reason = all[i].reason;
  }
  printf("{\"seconds\":%.6f,\"requests\":%zu,\"bytes\":%llu,\"errors\":%llu,\"reason\":\"%s\"", taken, sum.count, bytes,
         errors, reason);
  print_times("firstByte", sum.first, sum.count);
  print_times("total", sum.total, sum.count);
  printf("}\n");
  return 0;
}
