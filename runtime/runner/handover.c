#include "runtime/runner/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "SERVERLESS_RUNNER_HANDOVER"
#define CLOSED (-1)

void sf_handover_inherit(sf_handover *handover)
{
    const char *text = getenv(VARIABLE);

    handover->pid = 0;
    if (!text || sscanf(text, "%d %d", &handover->socket, &handover->lock) != 2) {
        handover->socket = CLOSED;
        handover->lock = CLOSED;
    }
    else {
        fcntl(handover->socket, F_SETFD, FD_CLOEXEC);
    }
    unsetenv(VARIABLE);
}

/* Becomes the new runner, in the new process. The parent has threads: only functions that are safe after fork()
 * are called. */
static void become(char *const *arguments, char *variable, int end, int lock)
{
    static char *environment[512];
    sigset_t none;
    size_t count;

    for (count = 0; count < sizeof(environment) / sizeof(*environment) - 2 && environ[count];
         count++) {
        environment[count] = environ[count];
    }
    environment[count] = variable;
    fcntl(end, F_SETFD, 0);
    fcntl(lock, F_SETFD, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(arguments[0], arguments, environment);
    _exit(127);
}

const char *sf_handover_start(sf_handover *handover, char *const *arguments, int lock)
{
    char variable[sizeof(VARIABLE) + 32];
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
        return strerror(errno);
    }
    (void)snprintf(variable, sizeof(variable), VARIABLE "=%d %d", ends[1], lock);
    handover->pid = fork();
    if (handover->pid == 0) {
        become(arguments, variable, ends[1], lock);
    }
    close(ends[1]);
    handover->socket = ends[0];
    if (handover->pid < 0) {
        handover->pid = 0;
        close(ends[0]);
        handover->socket = CLOSED;
        return strerror(errno);
    }
    return NULL;
}

void sf_handover_abort(sf_handover *handover)
{
    if (handover->socket != CLOSED) {
        close(handover->socket);
        handover->socket = CLOSED;
    }
    kill(handover->pid, SIGKILL);
    while (waitpid(handover->pid, NULL, 0) < 0 && errno == EINTR) {
    }
    handover->pid = 0;
}

void sf_handover_ready(const sf_handover *handover)
{
    if (handover->socket != CLOSED && send(handover->socket, "R", 1, MSG_NOSIGNAL) < 0) {
        return; /* the old runner has ended */
    }
}

int sf_handover_receive(sf_handover *handover)
{
    char byte;
    const ssize_t length = recv(handover->socket, &byte, 1, MSG_DONTWAIT);

    if (length == 1) {
        return 1;
    }
    close(handover->socket);
    handover->socket = CLOSED;
    return 0;
}
