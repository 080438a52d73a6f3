# Failures of the system: OpenSSL cannot hash, or an upload finds no room on the disk. The
# request is answered with an error, the log has a line, and the database has no trace.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

my $api = Serverless::Client->account;
my $project = Serverless::Project->new($api);
my $functions = $project->path . '/Functions';
my $asset = $project->new_asset;
my $versions = $project->path . "/Assets/$asset->{sid}/Versions";
my $logs = Serverless::Server->logs;

sub upload {
    my ($client, $bytes) = @_;
    return $client->upload($versions, [ Path => undef, undef, '/a' ], [ Visibility => undef, undef, 'public' ],
        [ Content => 'a', undef, $bytes ]);
}

sub rows {
    my ($table) = @_;
    return db()->selectrow_array("SELECT count(*) FROM serverless.$table WHERE service_id = ?", undef, substr $project->sid, 2);
}
sub all_rows { join ' ', map { rows($_) } qw(versions contents content_chunks idempotency_keys) }


# No hash ----------------------------------------------------------------------------

{
    my ($library, $failing) = ("$logs/failing_openssl.so", "$logs/failing_openssl");
    my $said = `@{[ $ENV{CC} || 'gcc' ]} -shared -fPIC -Wall -Wextra -Werror -o '$library' '$ENV{SOURCE}/t/unit/failing_openssl.c' -ldl 2>&1`;
    is $?, 0, 'an OpenSSL that fails when it is told to' or diag $said;
    my $fail = sub {
        my ($function) = @_;
        open my $out, '>', $failing or die "$failing: $!\n";
        print $out $function;
        close $out or die "$failing: $!\n";
    };
    my $server = do {
        local $ENV{LD_PRELOAD} = $library;
        local $ENV{FAILING_OPENSSL} = $failing;
        Serverless::Server->start('no_hash', Serverless::Server->database . Serverless::Server->api);
    };
    my $there = $api->at($server->address);
    my $once = $there->with('Idempotency-Key' => "no-hash-$$");
    my $before = all_rows();
    is $there->get($functions)->status, 200, 'a client whose password has been checked';
    for my $function (qw(EVP_MD_CTX_new EVP_DigestInit_ex EVP_DigestUpdate EVP_DigestFinal_ex)) {
        $fail->($function);
        for my $case (
            [ 'an upload',                      sub { upload($there, 'content') } ],
            [ 'a larger upload',                   sub { upload($there, 'x' x 300_000) } ],
            [ 'a create with Idempotency-Key',  sub { $once->post($functions, FriendlyName => 'f') } ],
            [ 'an upload with Idempotency-Key', sub { upload($once, 'content') } ],
        ) {
            my ($what, $ask) = @$case;
            my $reply = $ask->();
            is_error $reply, 500, 20500, 'An internal error occurred', "$function fails: $what";
            my @lines = $server->error_log =~ /(\[RQ\w+\] SF00.*)/g;
            is_deeply \@lines, [ '[' . $reply->header('Twilio-Request-Id') . '] SF0020: OpenSSL cannot hash what the request has' ],
                "$function fails: the error log says that OpenSSL cannot hash, for $what";
        }
        is $there->post($functions, FriendlyName => 'f')->status, 201,
            "$function fails: a create, which needs no hash, is 201";
    }
    is all_rows(), $before, 'requests that failed for OpenSSL stored nothing';

    $fail->('EVP_DigestUpdate');
    my $reply = Serverless::Client->account->at($server->address)->get($functions);
    is_error $reply, 500, 20500, 'An internal error occurred',
        'a client whose password must be hashed is 500 if OpenSSL cannot hash';
    like $server->error_log, qr/\[@{[ $reply->header('Twilio-Request-Id') ]}\] SF0020: OpenSSL cannot hash/,
        'a client whose password must be hashed: the error log says that OpenSSL cannot hash';

    $fail->('');
    is upload($there, 'content')->status, 201, 'an upload succeeds when OpenSSL hashes again';
    my $first = $once->post($functions, FriendlyName => 'f');
    is_deeply [ $first->status, $first->header('Idempotent-Replayed') ], [ 201, undef ],
        'the Idempotency-Key of the failed create is still unused';
    $server->stop;
    unlink $library, $failing;
}


# No room ----------------------------------------------------------------------------

# No file may become as large as a chunk of content is, which is as if the disk were full.
{
    my $server = Serverless::Server->start('no_room', Serverless::Server->database . Serverless::Server->api,
        under => [ 'prlimit', '--fsize=200000' ]);
    my $there = $api->at($server->address);
    my $before = all_rows();
    my $reply = upload($there, 'none' x 100_000);
    is_error $reply, 503, 20503, 'The service is temporarily unavailable',
        'an upload for which the disk has no room is 503';
    ok $reply->header('Retry-After'), 'an upload for which the disk has no room has Retry-After';
    my $id = $reply->header('Twilio-Request-Id');
    like $server->error_log, qr/\[$id\] SF0008: a temporary file fails: /,
        'an upload for which the disk has no room: the error log says that a temporary file fails';
    is all_rows(), $before, 'an upload for which the disk has no room stores nothing';
    is upload($there, 'small')->status, 201, 'an upload so small that it needs no file succeeds';
    $server->stop;
}

done_testing;
