# Assertions about answers, and the values that they compare with:
#
#   is_reply $reply, 201, { sid => sid('ZS'), date_created => date, ... }, 'create a Service';
#   is_error $reply, 404, 20404, 'The requested resource /Services/x was not found', 'no such Service';
package Serverless::Assertions;

use strict;
use warnings FATAL => 'all';

use Exporter qw(import);
use Test::More;
use Time::HiRes ();

our @EXPORT = qw(is_reply is_error is_within sid date quoted);

# Compares the status and the whole body of an answer. Expected values are compared
# literally, except regular expressions, which must match.
sub is_reply {
    my ($reply, $status, $body, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $expected = { status => $status, body => $body };
    my $got = { status => $reply->status, body => $reply->json // $reply->body };
    is_deeply $got, adapt($expected, $got), $name;
}

# Compares an answer with an error of the API: its status, code and message.
sub is_error {
    my ($reply, $status, $code, $message, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_reply $reply, $status, {
        code => $code, message => $message, more_info => "https://www.twilio.com/docs/errors/$code",
        status => $status,
    }, $name;
}

# What a SID and a date look like.
sub sid  { my ($prefix) = @_; qr/^$prefix[0-9a-f]{32}$/ }
sub date { qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/ }

# A value in quotes, shortened and without control characters, for the name of an assertion.
sub quoted {
    my ($text) = @_;
    $text =~ s/([^\x20-\x7e])/sprintf '\\x{%x}', ord $1/ge;
    $text = substr($text, 0, 40) . '...' if length $text > 43;
    return "'$text'";
}

# $expected with each regular expression replaced by the value it matches in
# $got, so that is_deeply's own report names the place that differs.
sub adapt {
    my ($expected, $got) = @_;
    my $kind = ref $expected;
    if ($kind eq 'Regexp') {
        return defined $got && !ref $got && $got =~ $expected ? $got : "matching $expected";
    }
    if ($kind eq 'HASH') {
        my $other = ref $got eq 'HASH' ? $got : {};
        return { map { $_ => adapt($expected->{$_}, $other->{$_}) } keys %$expected };
    }
    if ($kind eq 'ARRAY') {
        my $other = ref $got eq 'ARRAY' ? $got : [];
        return [ map { adapt($expected->[$_], $other->[$_]) } 0 .. $#$expected ];
    }
    return $expected;
}

# Checks that the code takes less than so many seconds. Code that is too slow runs again,
# four times at most, so it must be repeatable: a delay of the server's is there each time,
# a delay of a busy machine is not.
sub is_within(&$$) {
    my ($code, $limit, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $seconds;
    for (1 .. 5) {
        my $begin = Time::HiRes::time();
        $code->();
        $seconds = Time::HiRes::time() - $begin;
        last if $seconds < $limit;
    }
    cmp_ok $seconds, '<', $limit, $name;
}

1;
