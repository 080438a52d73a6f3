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
            [ 'a larger one',                   sub { upload($there, 'x' x 300_000) } ],
            [ 'a create with Idempotency-Key',  sub { $once->post($functions, FriendlyName => 'f') } ],
            [ 'an upload with Idempotency-Key', sub { upload($once, 'content') } ],
        ) {
            my ($what, $ask) = @$case;
            my $reply = $ask->();
            is_error $reply, 500, 20500, 'An internal error occurred', "$function fails: $what";
            my @lines = $server->error_log =~ /(SF00.*)/g;
            is_deeply \@lines, [ 'SF0020: ' . $reply->header('Twilio-Request-Id') . ': OpenSSL cannot hash what the request has' ],
                '- the log says why';
        }
        is $there->post($functions, FriendlyName => 'f')->status, 201, '- what needs no hash is done';
    }
    is all_rows(), $before, 'nothing came of those';

    $fail->('EVP_DigestUpdate');
    my $reply = Serverless::Client->account->at($server->address)->get($functions);
    is_error $reply, 500, 20500, 'An internal error occurred', 'of another, it cannot be known who asks';
    like $server->error_log, qr/SF0020: @{[ $reply->header('Twilio-Request-Id') ]}: OpenSSL cannot hash/, '- the log says why';

    $fail->('');
    is upload($there, 'content')->status, 201, 'an upload, once it is well again';
    my $first = $once->post($functions, FriendlyName => 'f');
    is_deeply [ $first->status, $first->header('Idempotent-Replayed') ], [ 201, undef ], 'the key was left free';
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
    is_error $reply, 503, 20503, 'The service is temporarily unavailable', 'an upload that finds no room for a file';
    ok $reply->header('Retry-After'), '- for the time being';
    my $id = $reply->header('Twilio-Request-Id');
    like $server->error_log, qr/SF0008: $id: a temporary file fails: /, '- the log says why';
    is all_rows(), $before, '- and nothing came of it';
    is upload($there, 'small')->status, 201, 'one that needs no file is taken';
    $server->stop;
}

done_testing;
