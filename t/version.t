# The version is in the file VERSION alone: the module and serverless-admin report it, and it heads CHANGES. The manual
# page of serverless-admin has every command.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use LWP::UserAgent ();
use Serverless::Server;
use Test::More;

my $version = slurp('VERSION') =~ s/\n\z//r;
my $class = 'Serverless::Server';

sub slurp {
    my ($name) = @_;
    open my $in, '<', "$ENV{SOURCE}/$name" or die "$name: $!\n";
    local $/;
    return scalar <$in>;
}

sub server_header {
    my ($tokens, $api) = @_;
    my $server = $class->start('version', "ServerTokens $tokens\n" . $class->database . $api);
    return LWP::UserAgent->new->get('http://' . $server->address . '/')->header('Server');
}

like $version, qr/^\d+\.\d+\.\d+(?:-dev)?$/, 'VERSION has three numbers';

subtest 'the module is a component of the Server header' => sub {
    like server_header('Full', $class->api), qr{ mod_serverless_functions/\Q$version\E(?: |$)}, 'with ServerTokens Full';
    is server_header('Prod', $class->api), 'Apache', 'but not with ServerTokens Prod';
    unlike server_header('Full', ''), qr/serverless/, 'nor where no Location has the API';
};

is scalar `$ENV{SOURCE}/bin/serverless-admin --version`, "serverless-admin $version\n", 'serverless-admin --version';

subtest 'CHANGES has a heading for each release' => sub {
    my @headings = slurp('CHANGES') =~ /^Changes with mod_serverless_functions (.+)$/mg;
    my $first = shift @headings;
    is $first, $version =~ /-dev$/ ? "$version (not yet released)" : $first, 'the first is that of VERSION';
    like $first, qr/^\Q$version\E \(/, 'and has it first';
    like $_, qr/^\d+\.\d+\.\d+ \(\d{4}-\d\d-\d\d\)$/, "$_ is dated" for @headings;
};

subtest 'serverless-admin(8) has every command' => sub {
    my $manual = slurp('docs/serverless-admin.8') =~ s/\\-/-/gr;
    my $usage = `$ENV{SOURCE}/bin/serverless-admin --help`;
    my @commands = $usage =~ /^  ([a-z][a-z -]*?)(?= [A-Z]|  |$)/mg;
    cmp_ok scalar @commands, '>', 10, 'the usage has commands';
    like $manual, qr/^\.B "?\Q$_\E\b/m, $_ for @commands;
};

done_testing;
