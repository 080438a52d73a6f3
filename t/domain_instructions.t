# What domains cost httpd, counted in instructions as in t/instructions.t: the look-up of a request, an Asset beside a
# file of httpd's own with the same bytes, and what a virtual host without ServerlessExecution pays, which is nothing.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Instructions;
use Serverless::Project;
use Serverless::Server;
use Serverless::Test;
use Test::More;

plan skip_all => 'sanitizers and valgrind exclude each other' if $ENV{SANITIZE};

my $TAIL = 'functions.example.com';
my $CONTENT = 'x' x 600;

# The most instructions of httpd. A look-up takes 2,500, which is a microsecond.
my $LOOKUP_MAX = 4_000;
# Of the hooks of the module, in a virtual host that serves neither the API nor domains.
my $LOADED_MAX = 1_000;

my $project = Serverless::Project->new(Serverless::Client->account, "counted-$$");
my $environment = $project->new_environment('counted', 'counted');
$project->deploy($environment, $project->completed($project->new_version(kind => 'asset', path => '/page', content => $CONTENT, type => 'text/plain')));
my $host = $environment->{domain_name} =~ s/\..*/.$TAIL/r;

Serverless::SharedServer::make_file("page-$$.txt", $CONTENT);
my $files = <<"END";
<VirtualHost *>
    ServerName   www.example.org
    DocumentRoot "@{[ Apache::Test::vars('documentroot') ]}"
</VirtualHost>
END
my $domains = <<"END";
<VirtualHost *>
    ServerName          $TAIL
    ServerAlias         *.$TAIL
    ServerlessExecution On
</VirtualHost>
END
my $cache = 'ServerlessAssetCache "' . Serverless::Server::logs() . qq(/counted_assets"\n);
my %servers = (
    bare => Serverless::Instructions->start('bare', $files, without => ['serverless_functions_module'], keyless => 1, limits => 1),
    off => Serverless::Instructions->start('off', Serverless::Server->database . $files),
    on => Serverless::Instructions->start('on', Serverless::Server->database . "ServerlessDomain $TAIL\n$cache$files$domains"),
);

# Under valgrind a request takes longer than the usual lease. With this one the middle count is without a read.
sub set_lease {
    db()->do('UPDATE serverless.settings SET route_lease = $1, route_wait = $1, route_lease_wanted = $1', undef, @_);
}

my $suite = $$;
set_lease(10_000);
END { set_lease(50) if $suite && $$ == $suite }

# The instructions of a GET.
sub cost {
    my ($server, $path, $of, $status) = @_;
    my $client = Serverless::Client->client->at($servers{$server}->address);
    return $servers{$server}->usual("domain_$server", 10, 15, sub { $client->raw_request("GET $path HTTP/1.1", host => $of) }, $status);
}

my %file = map { ($_ => cost($_, "/page-$$.txt", 'www.example.org')) } sort keys %servers;
my $asset = cost('on', '/page', $host);
my $unknown = cost('on', '/none', $host, 404);
my $no_domain = cost('on', '/none', "-$host", 404);
my $lookup = $unknown - $no_domain;

diag "a file of httpd's own: $file{bare} instructions without the module, $file{off} with it, $file{on} beside a host of domains";
diag "an Asset of the same bytes: $asset; the look-up of a request: $lookup";

cmp_ok $lookup, '>', 0, 'a look-up takes instructions';
cmp_ok $lookup, '<', $LOOKUP_MAX, "a look-up takes fewer than $LOOKUP_MAX";
cmp_ok $file{off} - $file{bare}, '<', $LOADED_MAX, "the loaded module costs a file of httpd's own fewer than $LOADED_MAX";
cmp_ok $file{on} - $file{off}, '<', $LOADED_MAX, 'and so do domains in another virtual host';
cmp_ok $asset, '<', 1.3 * $file{on}, "an Asset takes less than 1.3 times a file of httpd's own";

done_testing;
