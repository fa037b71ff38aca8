// A load generator for Socket.IO (Engine.IO 4 over WebSocket): one thread, one epoll, loopback only.
//
//   measure.c   clock, latency histogram, CPU and memory of the server's processes
//   client.c    connections: WebSocket frames, Engine.IO, Socket.IO, joining a space
//   load.c      what the modes share, and the mode idle
//   fanout.c    pose.c    chat.c (chat, joins): what the clients do
//   main.c      options, and the one JSON line that comes out
//
// Times are microseconds of CLOCK_REALTIME unless a name says otherwise.
#pragma once
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SECOND_US 1000000.0
#define MAX_SERVERS 16

typedef struct {
  const char *mode, *label, *space_type, *space_id, *features;
  int ports[MAX_SERVERS], port_count;
  int pids[MAX_SERVERS], pid_count;  // whose CPU and memory are reported
  char **tokens;
  int token_count;
  int clients, senders;
  int stalled;         // the last clients stop reading once all have joined
  int others;          // joins: who is in the room before, and chats
  int sample;          // poses: every so manieth client reads what it gets, the rest only count frames
  int message_bytes;   // of the Socket.IO text that is sent
  double window;       // fanout: closed loop with at most so many broadcasts under way; 0 is open loop at `rate`
  double rate;         // messages a second, all senders together
  double pose_hertz;   // poses a second of each client
  double warmup_seconds, seconds, connect_seconds;
  bool deflate;        // offer permessage-deflate, as browsers do
  bool raw;            // plain WebSocket, no Socket.IO and no join
  bool join;           // false: connected is enough
} Options;
extern Options options;

// measure.c

uint64_t now_us(void);

typedef struct Histogram Histogram;
Histogram *histogram_new(void);
void histogram_add(Histogram *, uint64_t us);
double histogram_ms(const Histogram *, double quantile);  // 1.0 is the greatest
uint64_t histogram_count(const Histogram *);

double server_cpu_seconds(void);   // user and system time of options.pids so far
double server_rss_mb(void);        // resident memory of options.pids
double server_waited_seconds(void);  // for a core, while it had something to do: others' work was in the way
double own_cpu_seconds(void);

// client.c

typedef enum { NEW, CONNECTING, UPGRADING, OPENING, ENTERING, JOINING, READY, LOST } State;

typedef struct {
  int fd, index, retries;
  State state;
  bool sampled, compressed;
  char *held;                  // the beginning of a frame whose end has not come yet
  size_t held_bytes, held_capacity;
  size_t skip_bytes;           // the rest of a frame that nobody wants to read
  uint64_t joined_us;
  uint8_t *heard;              // chat: one bit for each message number
  uint64_t last_seq;
} Client;

extern Client *clients;
extern struct Traffic { uint64_t sent, not_sent, frames, bytes, largest_ack, join_retries; } traffic;
extern int ready_count, lost_count;

// What a mode wants to hear. `payload` starts after the packet's type digits.
typedef struct {
  void (*event)(Client *, const char *payload, size_t, uint64_t now);
  void (*ack)(Client *, long id, bool ok, uint64_t now);
  void (*binary)(Client *, const char *payload, size_t, uint64_t now);
} Listener;
extern Listener listener;

void clients_begin(void);
void connect_range(int from, int to, int at_once);  // returns when all have joined; ends the program if they do not
void connect_start(int from, int to);               // begins all at once and returns
bool send_text(Client *, const char *text, size_t);  // false: the socket's buffer is full, nothing was sent
void stop_reading(Client *);
void read_again(Client *);                            // also finds out whether the server dropped it
void pump(int64_t timeout_us);                        // wait for the network at most so long, handle what came
void pump_for(double seconds);

// load.c

void run_mode(void);

// main.c

void report(const char *name, double value);
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
