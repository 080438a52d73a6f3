/* runtime/protocol/control.c: messages on the control connection. */
#include "t/unit/unit.h"

#include "runtime/protocol/control.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];
static unsigned char packet[SF_CONTROL_PACKET + 1];

static int connect_ends(void **state)
{
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends);
}

static int close_ends(void **state)
{
    (void)state;
    close(ends[1]);
    return close(ends[0]);
}

static void passes_messages(void **state)
{
    const sf_control_message sent = { SF_CONTROL_LEASE, 4000000000U, "{\"wait\":1}", 10, -1 };
    sf_control_message got;

    (void)state;
    assert_int_equal(sf_control_receive(ends[1], packet, &got), EAGAIN);
    assert_int_equal(sf_control_send(ends[0], &sent), 0);
    assert_int_equal(sf_control_receive(ends[1], packet, &got), 0);
    assert_int_equal(got.type, SF_CONTROL_LEASE);
    assert_int_equal(got.number, 4000000000U);
    assert_int_equal(got.length, 10);
    assert_string_equal(got.payload, "{\"wait\":1}");
    assert_int_equal(got.descriptor, -1);
}

static void passes_a_descriptor(void **state)
{
    int passed[2];
    sf_control_message sent = { SF_CONTROL_LINE, 1, "", 0, -1 };
    sf_control_message got;

    (void)state;
    assert_int_equal(pipe(passed), 0);
    sent.descriptor = passed[1];
    assert_int_equal(sf_control_send(ends[0], &sent), 0);
    assert_int_equal(sf_control_receive(ends[1], packet, &got), 0);
    assert_true(got.descriptor >= 0);
    assert_int_equal(fcntl(got.descriptor, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(write(got.descriptor, "x", 1), 1);
    assert_int_equal(read(passed[0], packet, 2), 1);
    close(got.descriptor);
    close(passed[0]);
    close(passed[1]);
}

static void passes_the_largest_payload(void **state)
{
    static char bytes[SF_CONTROL_PAYLOAD + 1];
    sf_control_message sent = { SF_CONTROL_DATA, 1, bytes, SF_CONTROL_PAYLOAD, -1 };
    sf_control_message got;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(sf_control_send(ends[0], &sent), 0);
    assert_int_equal(sf_control_receive(ends[1], packet, &got), 0);
    assert_int_equal(got.length, SF_CONTROL_PAYLOAD);
    assert_memory_equal(got.payload, bytes, SF_CONTROL_PAYLOAD);
    sent.length++;
    assert_int_equal(sf_control_send(ends[0], &sent), EMSGSIZE);
}

/* Sends bytes as they are, with the descriptors 0, 1, ... */
static void send_raw(const void *bytes, size_t length, int descriptors)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(4 * sizeof(int))];
    } control;
    struct iovec piece = { (void *)(uintptr_t)bytes, length };
    struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
    int i;

    memset(&control, 0, sizeof(control));
    if (descriptors > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
        control.header.cmsg_level = SOL_SOCKET;
        control.header.cmsg_type = SCM_RIGHTS;
        control.header.cmsg_len = CMSG_LEN(descriptors * sizeof(int));
        for (i = 0; i < descriptors; i++) {
            memcpy(CMSG_DATA(&control.header) + i * sizeof(int), &ends[i & 1], sizeof(int));
        }
    }
    assert_int_equal(sendmsg(ends[0], &message, 0), (ssize_t)length);
}

/* The number that the next descriptor gets: it grows with each descriptor that stays open. */
static int next_descriptor(void)
{
    const int descriptor = dup(ends[0]);

    close(descriptor);
    return descriptor;
}

static void refuses_other_packets(void **state)
{
    static const char large[SF_CONTROL_PACKET + 1];
    const int before = next_descriptor();
    sf_control_message got;
    int count;

    (void)state;
    send_raw("\1\0\0\0", 4, 0); /* no whole header */
    assert_int_equal(sf_control_receive(ends[1], packet, &got), EPROTO);
    send_raw(large, sizeof(large), 0);
    assert_int_equal(sf_control_receive(ends[1], packet, &got), EPROTO);
    for (count = 2; count <= 4; count++) {
        send_raw("\4\0\0\0\1{}", 7, count);
        assert_int_equal(sf_control_receive(ends[1], packet, &got), EPROTO);
    }
    send_raw("\4", 1, 1);
    assert_int_equal(sf_control_receive(ends[1], packet, &got), EPROTO);
    assert_int_equal(next_descriptor(), before);
}

static void tells_the_end(void **state)
{
    const sf_control_message sent = { SF_CONTROL_CANCEL, 1, "", 0, -1 };
    sf_control_message got;

    (void)state;
    shutdown(ends[0], SHUT_RDWR);
    assert_int_equal(sf_control_receive(ends[1], packet, &got), EPIPE);
    assert_int_equal(sf_control_send(ends[1], &sent), EPIPE); /* without a signal */
}

static void says_when_there_is_no_room(void **state)
{
    static const char bytes[SF_CONTROL_PAYLOAD];
    const sf_control_message sent = { SF_CONTROL_DATA, 1, bytes, sizeof(bytes), -1 };
    int result = 0;
    int count = 0;

    (void)state;
    while (result == 0 && count++ < 1000) {
        result = sf_control_send(ends[0], &sent);
    }
    assert_int_equal(result, EAGAIN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, connect_ends, close_ends)

int unit_control(void)
{
    const struct CMUnitTest tests[] = {
        TEST(passes_messages),       TEST(passes_a_descriptor), TEST(passes_the_largest_payload),
        TEST(refuses_other_packets), TEST(tells_the_end),       TEST(says_when_there_is_no_room),
    };

    return cmocka_run_group_tests_name("control", tests, NULL, NULL);
}
