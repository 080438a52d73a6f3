# Two independent validators find that the answers of all suites are as docs/openapi.yaml says. This suite runs last:
# the suites before it have recorded their answers (Serverless::Answers). Run alone, it checks its own answers only.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Cpanel::JSON::XS ();
use IPC::Open2 qw(open2);
use Serverless::Answers;
use Serverless::OpenAPI;
use Serverless::Test;
use Test::More;

my $json = Cpanel::JSON::XS->new->utf8->canonical;
my $api = Serverless::Client->account;
my $service = $api->post('/v1/Services', UniqueName => 'answers', FriendlyName => 'Answers')->json;
my $path = "/v1/Services/$service->{sid}";
my $services = '/v1/Services?suite=answers'; # a request of no other suite
$api->get($_) for $services, $path, "$path/Functions", "$path/Functions/none";
$api->post("$path/Functions");

# The faults that each validator finds in answers: see t/sdk/answers.mjs.
sub faults {
    my ($document, @answers) = @_;
    my $pid = open2(my $answer, my $input, $ENV{NODE}, 't/sdk/answers.mjs');
    print $input $json->encode({ document => $document, answers => \@answers });
    close $input;
    my $said = do { local $/; <$answer> };
    waitpid $pid, 0;
    die "t/sdk/answers.mjs failed\n" if $?;
    return $json->decode($said);
}

my $description = Serverless::OpenAPI::description();
my @answers = Serverless::Answers::recorded();

subtest 'two validators accept the ' . @answers . ' answers that the suites have recorded' => sub {
    my $found = faults($description, @answers);
    is_deeply $found->{$_}, [], "$_ accepts them" for qw(hyperjump ajv);
};

# The answer of this suite to a request.
sub answer_to {
    my ($request) = @_;
    my ($found) = grep { $_->{request} eq $request } @answers;
    return $found // die "no answer to $request was recorded\n";
}

# A copy of the description with one schema changed.
sub with_schema {
    my ($name, $change) = @_;
    my $copy = $json->decode($json->encode($description));
    $change->($copy->{components}{schemas}{$name});
    return $copy;
}

for my $case (
    [ "GET $path", 'Service' => 'friendly_name' ],
    [ "GET $services", 'Service' => 'friendly_name' ],
    [ "GET $path/Functions", 'Meta' => 'page_size' ],
    [ "GET $path/Functions/none", 'Error' => 'more_info' ],
    [ "POST $path/Functions", 'Error' => 'more_info' ],
) {
    my ($request, $schema, $property) = @$case;
    my $without = with_schema($schema, sub {
        my ($place) = @_;
        delete $place->{properties}{$property};
        @{ $place->{required} } = grep { $_ ne $property } @{ $place->{required} };
    });
    my $found = faults($without, answer_to($request));
    is scalar @{ $found->{$_} }, 1, "$request: $_ refuses an answer whose $property is not described"
        for qw(hyperjump ajv);
}

done_testing;
