// Connections: RFC 6455 frames, Engine.IO 4, Socket.IO 5, and joining a space.
#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, COMPRESSED = 0x40, SHORT_FRAME = 64, MAX_RETRIES = 5 };

Client *clients;
struct Traffic traffic;
Listener listener;
int ready_count, lost_count;

static int epoll;
static char received[8 << 20];  // a snapshot of a full room is one frame

void clients_begin(void) {
  epoll = epoll_create1(0);
  clients = calloc((size_t)options.clients, sizeof *clients);
  for (int i = 0; i < options.clients; i++) {
    clients[i].index = i;
    clients[i].sampled = i % options.sample == 0;
  }
}

static void lose(Client *c) {
  if (c->state == LOST) return;
  if (c->state == READY) ready_count--;
  c->state = LOST;
  lost_count++;
  close(c->fd);
}

static void become_ready(Client *c, uint64_t now) {
  c->state = READY;
  c->joined_us = now;
  ready_count++;
}

static void watch(Client *c, int operation, uint32_t events) {
  struct epoll_event event = {.events = events, .data.u32 = (uint32_t)c->index};
  epoll_ctl(epoll, operation, c->fd, &event);
}

void stop_reading(Client *c) { watch(c, EPOLL_CTL_DEL, 0); }

void read_again(Client *c) { watch(c, EPOLL_CTL_ADD, EPOLLIN); }

// Sending.

static uint32_t random_mask(void) {
  static uint64_t state = 88172645463325252u;
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)state;
}

static size_t make_frame(char *frame, int opcode, const char *payload, size_t n) {
  size_t header = 0;
  frame[header++] = (char)(0x80 | opcode);
  if (n < 126) {
    frame[header++] = (char)(0x80 | n);
  } else {
    frame[header++] = (char)(0x80 | 126);
    frame[header++] = (char)(n >> 8);
    frame[header++] = (char)n;
  }
  uint32_t mask = random_mask();
  memcpy(frame + header, &mask, 4);
  header += 4;
  for (size_t i = 0; i < n; i++) frame[header + i] = (char)(payload[i] ^ ((const char *)&mask)[i & 3]);
  return header + n;
}

// Half a frame must be followed by its other half. A server that takes none of it for five seconds has lost us.
static bool send_bytes(Client *c, const char *bytes, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t sent = send(c->fd, bytes + done, n - done, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) {
      done += (size_t)sent;
    } else if (errno != EAGAIN) {
      lose(c);
      return false;
    } else if (done == 0) {
      return false;
    } else {
      struct pollfd room = {.fd = c->fd, .events = POLLOUT};
      if (poll(&room, 1, 5000) == 1) continue;
      lose(c);
      return false;
    }
  }
  return true;
}

static bool send_frame(Client *c, int opcode, const char *payload, size_t n) {
  static char frame[65536];
  if (n > 65000) fail("a message of %zu bytes is too long", n);
  return send_bytes(c, frame, make_frame(frame, opcode, payload, n));
}

bool send_text(Client *c, const char *text, size_t n) {
  bool sent = c->state == READY && send_frame(c, TEXT, text, n);
  *(sent ? &traffic.sent : &traffic.not_sent) += 1;
  return sent;
}

static void send_upgrade(Client *c, int port) {
  char request[512];
  const char *extension = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
  int n = snprintf(request, sizeof request,
                   "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                   options.raw ? "/" : "/socket.io/?EIO=4&transport=websocket", port,
                   options.deflate ? extension : "");
  c->state = UPGRADING;
  send_bytes(c, request, (size_t)n);
}

static void send_connect(Client *c) {
  char text[4096];
  int n = 2;
  memcpy(text, "40", 3);
  if (options.token_count)
    n = snprintf(text, sizeof text, "40{\"token\":\"%s\"}", options.tokens[c->index % options.token_count]);
  c->state = ENTERING;
  send_frame(c, TEXT, text, (size_t)n);
}

static void send_join(Client *c) {
  char text[1024];
  int n = snprintf(text, sizeof text,
                   "420[\"join-space\",{\"spaceType\":\"%s\",\"spaceId\":\"%s\",\"position\":{\"x\":0,\"y\":0,\"z\":0}%s%s%s}]",
                   options.space_type, options.space_id, *options.features ? ",\"features\":[" : "", options.features,
                   *options.features ? "]" : "");
  c->state = JOINING;
  send_frame(c, TEXT, text, (size_t)n);
}

// Receiving.

static void on_ack(Client *c, const char *text, size_t n, uint64_t now) {
  char *end;
  long id = strtol(text, &end, 10);
  size_t rest = n - (size_t)(end - text);
  bool ok = memmem(end, rest < 200 ? rest : 200, "\"ok\":false", 10) == NULL;
  if (n > traffic.largest_ack) traffic.largest_ack = n;
  if (c->state != JOINING || id != 0) {
    if (listener.ack) listener.ack(c, id, ok, now);
  } else if (ok) {
    become_ready(c, now);
  } else if (memmem(end, rest, "\"unavailable\"", 13) && c->retries++ < MAX_RETRIES) {
    traffic.join_retries++;
    send_join(c);
  } else {
    fprintf(stderr, "join refused: %.*s\n", (int)(rest < 300 ? rest : 300), end);
    lose(c);
  }
}

static void on_message(Client *c, const char *text, size_t n, uint64_t now) {
  switch (*text) {
    case '0':
      if (options.join) send_join(c);
      else become_ready(c, now);
      break;
    case '3':
      on_ack(c, text + 1, n - 1, now);
      break;
    case '4':
      fprintf(stderr, "connection refused: %.*s\n", (int)n, text);
      lose(c);
      break;
    case '2':
    case '5':
      if (listener.event) listener.event(c, text + 1, n - 1, now);
      break;
    default:
      lose(c);
  }
}

static void on_text(Client *c, const char *text, size_t n, uint64_t now) {
  if (options.raw) {
    if (listener.event) listener.event(c, text, n, now);
  } else if (*text == '2') {
    send_frame(c, TEXT, "3", 1);
  } else if (*text == '0') {
    send_connect(c);
  } else if (*text == '1') {
    lose(c);
  } else if (*text == '4' && n > 1) {
    on_message(c, text + 1, n - 1, now);
  }
}

// Deflated frames are not inflated: while entering, their order tells what they are; afterwards nobody reads them.
static void on_deflated(Client *c, uint64_t now) {
  if (c->state == OPENING) send_connect(c);
  else if (c->state == ENTERING && options.join) send_join(c);
  else if (c->state == ENTERING || c->state == JOINING) become_ready(c, now);
}

static void on_frame(Client *c, int first, const char *payload, size_t n, uint64_t now) {
  traffic.frames++;
  traffic.bytes += n;
  int opcode = first & 15;
  if (opcode == CLOSE) lose(c);
  else if (opcode == PING) send_frame(c, PONG, payload, n);
  else if (first & COMPRESSED) on_deflated(c, now);
  else if (opcode == TEXT && n) on_text(c, payload, n, now);
  else if (opcode == BINARY && listener.binary) listener.binary(c, payload, n, now);
}

static size_t read_upgrade(Client *c, const char *bytes, size_t n, uint64_t now) {
  const char *end = memmem(bytes, n, "\r\n\r\n", 4);
  if (!end) return 0;
  if (memcmp(bytes, "HTTP/1.1 101", 12)) {
    fprintf(stderr, "no WebSocket: %.*s\n", (int)(n < 200 ? n : 200), bytes);
    lose(c);
  } else if (options.raw) {
    become_ready(c, now);
  } else {
    c->state = OPENING;
  }
  return (size_t)(end + 4 - bytes);
}

// The header's size, 0 if it is not complete; `n` becomes the payload's.
static size_t read_header(const uint8_t *b, size_t available, size_t *n) {
  if (available < 2) return 0;
  *n = b[1] & 127;
  size_t header = *n == 126 ? 4 : *n == 127 ? 10 : 2;
  if (available < header) return 0;
  if (header == 4) *n = (size_t)b[2] << 8 | b[3];
  if (header == 10) {
    *n = 0;
    for (int i = 2; i < 10; i++) *n = *n << 8 | b[i];
  }
  return header;
}

// Handle the complete frames; returns how many bytes were used up.
static size_t read_frames(Client *c, const char *bytes, size_t n, uint64_t now) {
  size_t used = 0;
  if (c->state == UPGRADING && !(used = read_upgrade(c, bytes, n, now))) return 0;
  while (c->state != LOST) {
    size_t size, header = read_header((const uint8_t *)bytes + used, n - used, &size);
    if (!header) break;
    size_t whole = header + size, available = n - used;
    if (available < whole) {
      if (c->sampled || c->state != READY || size < SHORT_FRAME) break;
      c->skip_bytes = whole - available;
      traffic.frames++;
      traffic.bytes += size;
      return n;
    }
    on_frame(c, (uint8_t)bytes[used], bytes + used + header, size, now);
    used += whole;
  }
  return used;
}

static void hold(Client *c, const char *bytes, size_t n) {
  if (c->held_capacity < n) {
    c->held_capacity = 2 * n;
    c->held = realloc(c->held, c->held_capacity);
  }
  memmove(c->held, bytes, n);
  c->held_bytes = n;
}

static void take(Client *c, const char *bytes, size_t n) {
  size_t skipped = c->skip_bytes < n ? c->skip_bytes : n;
  c->skip_bytes -= skipped;
  size_t used = skipped + read_frames(c, bytes + skipped, n - skipped, now_us());
  if (c->state != LOST) hold(c, bytes + used, n - used);
}

static void on_readable(Client *c) {
  size_t held = c->held_bytes;
  if (held >= sizeof received / 2) fail("a frame of more than %zu bytes", held);
  if (held) memcpy(received, c->held, held);
  ssize_t n = recv(c->fd, received + held, sizeof received - held, MSG_DONTWAIT);
  if (n > 0) take(c, received, held + (size_t)n);
  else if (n == 0 || errno != EAGAIN) lose(c);
}

static void on_connected(Client *c) {
  int error = 0, port = options.ports[c->index % options.port_count];
  socklen_t size = sizeof error;
  getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error) {
    fprintf(stderr, "connect: %s\n", strerror(error));
    lose(c);
    return;
  }
  watch(c, EPOLL_CTL_MOD, EPOLLIN);
  send_upgrade(c, port);
}

void pump(int64_t timeout_us) {
  struct epoll_event events[512];
  if (timeout_us < 0) timeout_us = 0;
  struct timespec timeout = {timeout_us / 1000000, (timeout_us % 1000000) * 1000};
  int n = epoll_pwait2(epoll, events, 512, &timeout, NULL);
  for (int i = 0; i < n; i++) {
    Client *c = &clients[events[i].data.u32];
    if (c->state == LOST) continue;
    if (c->state == CONNECTING) on_connected(c);
    else if (events[i].events & EPOLLIN) on_readable(c);
    else lose(c);
  }
}

void pump_for(double seconds) {
  uint64_t end = now_us() + (uint64_t)(seconds * SECOND_US);
  for (uint64_t now = now_us(); now < end; now = now_us()) pump((int64_t)(end - now));
}

// Connecting.

static void begin(Client *c) {
  int one = 1, small = 4096, port = options.ports[c->index % options.port_count];
  struct linger reset = {.l_onoff = 1, .l_linger = 0};  // no TIME_WAIT: the ports are needed again
  struct sockaddr_in address = {
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (c->fd < 0) fail("socket: %s", strerror(errno));
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  if (c->index >= options.clients - options.stalled)  // so that what is not read fills the server, not the kernel
    setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  c->state = CONNECTING;
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
    fail("connect: %s", strerror(errno));
  watch(c, EPOLL_CTL_ADD, EPOLLOUT);
}

void connect_start(int from, int to) {
  for (int i = from; i < to; i++) begin(&clients[i]);
}

void connect_range(int from, int to, int at_once) {
  uint64_t deadline = now_us() + (uint64_t)(options.connect_seconds * SECOND_US);
  int begun = from, ready_before = ready_count;
  while (ready_count - ready_before < to - from) {
    while (begun < to && begun - from - (ready_count - ready_before) < at_once) begin(&clients[begun++]);
    pump(10000);
    if (lost_count) fail("%d of %d clients were lost while joining", lost_count, to - from);
    if (now_us() > deadline) fail("%d of %d clients joined in time", ready_count - ready_before, to - from);
  }
}
