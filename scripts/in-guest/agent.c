// SPDX-License-Identifier: GPL-2.0
/*
 * Serves the host over the second serial port, where the kernel never prints.
 *
 * host:   run ID BASE64           run a shell script in the background
 *         put ID PATH BASE64      append bytes to a file
 *         (an empty line wakes a sleeping guest and means nothing)
 * guest:  ready 0 RELEASE         once
 *         end ID STATUS BASE64    the output of a run or a put
 *         endz ID STATUS BASE64   the same, packed by gzip
 *
 * A command never blocks the next one, so a hung one can still be examined.
 *
 * A program, because an emulated CPU takes 20 ms to start one, and a shell
 * would have to start seven for each command.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#ifndef PORT
#define PORT		"/dev/ttyS1"
#endif
#define DIR		"/run/vbl/"
/* The port carries half a megabyte a second; packing is faster from here on. */
#define PACK		16384
#define LINE		131072

struct job {
	struct job *next;
	pid_t pid;
	char id[64];
};

static struct job *jobs;
static int port;

static const char letters[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void send_all(const char *data, size_t size)
{
	while (size) {
		ssize_t n = write(port, data, size);

		if (n < 0 && errno != EINTR)
			die(PORT);
		if (n > 0) {
			data += n;
			size -= n;
		}
	}
}

static void send_base64(FILE *in)
{
	unsigned char raw[3 * 1024 + 2];
	char out[4 * 1024];
	size_t n, at, to;

	while ((n = fread(raw, 1, 3 * 1024, in))) {
		memset(raw + n, 0, 2);
		for (at = to = 0; at < n; at += 3) {
			unsigned int w = raw[at] << 16 | raw[at + 1] << 8 |
				raw[at + 2];

			out[to++] = letters[w >> 18];
			out[to++] = letters[w >> 12 & 63];
			out[to++] = at + 1 < n ? letters[w >> 6 & 63] : '=';
			out[to++] = at + 2 < n ? letters[w & 63] : '=';
		}
		send_all(out, to);
	}
}

/* In place; the number of bytes. */
static size_t from_base64(char *text)
{
	unsigned int word = 0, bits = 0;
	size_t to = 0;
	const char *c, *at;

	for (c = text; *c && (at = strchr(letters, *c)); c++) {
		word = word << 6 | (at - letters);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			text[to++] = word >> bits;
		}
	}
	text[to] = 0;
	return to;
}

static void path_of(char *path, size_t size, const char *id, const char *what)
{
	snprintf(path, size, DIR "%s.%s", id, what);
}

/* The end of @id, and what stands in its file, which goes. */
static void answer(const char *id, int status)
{
	char path[128], line[256];
	FILE *out;
	int packed;

	path_of(path, sizeof(path), id, "out");
	out = fopen(path, "r");
	packed = out && !fseek(out, 0, SEEK_END) && ftell(out) > PACK;
	if (packed) {
		fclose(out);
		snprintf(line, sizeof(line), "gzip -1c %s", path);
		out = popen(line, "r");
	} else if (out) {
		rewind(out);
	}
	snprintf(line, sizeof(line), "%s %s %d ", packed ? "endz" : "end", id,
		 status);
	send_all(line, strlen(line));
	if (out)
		send_base64(out);
	send_all("\n", 1);
	if (packed && out)
		pclose(out);
	else if (out)
		fclose(out);
	unlink(path);
	path_of(path, sizeof(path), id, "pid");
	unlink(path);
}

/* In the child: a session of its own, so that a kill gets all of it. */
static void become(const char *id, const char *script)
{
	char path[128];
	sigset_t none;
	int fd;

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	path_of(path, sizeof(path), id, "pid");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	dprintf(fd, "%d\n", getpid());
	close(fd);
	path_of(path, sizeof(path), id, "out");
	fd = open("/dev/null", O_RDONLY);
	dup2(fd, 0);
	close(fd);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	dup2(fd, 1);
	dup2(fd, 2);
	close(fd);
	execl("/bin/sh", "sh", "-c", script, NULL);
	_exit(127);
}

static void run(const char *id, char *script)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		die("calloc");
	from_base64(script);
	snprintf(job->id, sizeof(job->id), "%s", id);
	job->pid = fork();
	if (!job->pid)
		become(id, script);
	if (job->pid < 0) {
		free(job);
		answer(id, 126);
		return;
	}
	job->next = jobs;
	jobs = job;
}

static void put(const char *id, const char *path, char *code)
{
	size_t size = from_base64(code);
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	int ok = fd >= 0 && write(fd, code, size) == (ssize_t)size;

	if (fd >= 0)
		close(fd);
	answer(id, !ok);
}

static void obey(char *line)
{
	char *rest = line, *verb = strsep(&rest, " "), *id = strsep(&rest, " ");
	char *path;

	if (id && rest && !strcmp(verb, "run")) {
		run(id, rest);
	} else if (id && rest && !strcmp(verb, "put")) {
		path = strsep(&rest, " ");
		if (rest)
			put(id, path, rest);
	}
}

static void reap(void)
{
	struct job **at = &jobs;

	while (*at) {
		struct job *job = *at;
		int status;

		if (waitpid(job->pid, &status, WNOHANG) != job->pid) {
			at = &job->next;
			continue;
		}
		*at = job->next;
		answer(job->id, WIFEXITED(status) ? WEXITSTATUS(status) :
		       128 + WTERMSIG(status));
		free(job);
	}
}

/* What arrived, line by line; a part of a line waits for its rest. */
static void listen_to_host(void)
{
	static char data[LINE];
	static size_t have;
	char *line = data, *end;
	ssize_t n = read(port, data + have, sizeof(data) - 1 - have);

	if (n < 0 && errno != EINTR)
		die(PORT);
	if (n <= 0)
		return;
	have += n;
	data[have] = 0;
	while ((end = strchr(line, '\n'))) {
		*end = 0;
		obey(line);
		line = end + 1;
	}
	have -= line - data;
	memmove(data, line, have);
}

int main(void)
{
	struct pollfd ready[2] = { { .events = POLLIN }, { .events = POLLIN } };
	struct signalfd_siginfo info;
	struct termios tty;
	struct utsname me;
	sigset_t child;

	port = open(PORT, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (port < 0 || tcgetattr(port, &tty))
		die(PORT);
	cfmakeraw(&tty);
	cfsetspeed(&tty, B115200);
	if (tcsetattr(port, TCSANOW, &tty))
		die(PORT);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, NULL);
	ready[0].fd = port;
	ready[1].fd = signalfd(-1, &child, SFD_CLOEXEC);
	uname(&me);
	dprintf(port, "ready 0 %s\n", me.release);
	for (;;) {
		if (poll(ready, 2, -1) < 0 && errno != EINTR)
			die("poll");
		if (ready[1].revents) {
			if (read(ready[1].fd, &info, sizeof(info)) < 0)
				die("signalfd");
			reap();
		}
		if (ready[0].revents)
			listen_to_host();
	}
}
