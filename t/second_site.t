# A second site: the sample of a virtual host, copied once more with other names, is a site with a database of its own.
# configtest warns where the second site would use the first one's database.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Database;
use Serverless::Server;
use Test::More;

my $class = 'Serverless::Server';

sub slurp {
    my ($name) = @_;
    open my $in, '<', "$ENV{SOURCE}/conf/$name" or die "$name: $!\n";
    local $/;
    return scalar <$in>;
}

# Writes a file of an administrator. Returns its path.
sub administrators_file {
    my ($name, $text) = @_;
    my $path = $class->logs . "/$name";
    open my $out, '>', $path or die "$path: $!\n";
    print $out $text;
    close $out or die "$path: $!\n";
    return $path;
}

# The sample of a virtual host, with the names of one site.
sub site {
    my (%site) = @_;
    my $text = slurp('serverless_api.conf');
    for my $change (
        ['*:443'                                       => "127.0.0.1:$site{port}"],
        ['serverless.example.com'                      => $site{name}],
        ['/var/run/postgresql'                         => $ENV{DATABASE}],
        ['dbname=serverless '                          => "dbname=$site{database} "],
        ["/etc/ssl/certs/$site{name}.pem"              => "$ENV{TLS}/server.pem"],
        ["/etc/ssl/private/$site{name}.key"            => "$ENV{TLS}/server.key"],
    ) {
        my ($from, $to) = @$change;
        $text =~ s/\Q$from\E/$to/g or die "the sample has no $from\n";
    }
    return "Listen 127.0.0.1:$site{port}\n$text";
}

my @sites = map {
    my $database = own_database("site_$_");
    my $owner = $database->connect('serverless_owner');
    my ($account, $token) = $owner->selectrow_array("SELECT * FROM serverless.create_account('site $_')");
    { name => "$_.example.com", port => Serverless::Server::free_port(), database => $database->name, of => $database,
        credential => "$account:$token" };
} qw(first second);

my $process = slurp('serverless_functions.conf') =~ s{^ServerlessVariableKeys .*\n}{}mr;
my $files = join '', $class->workers(1, 64, prefork => 16), "Define APACHE_LOG_DIR " . $class->logs . "\n",
    map { 'Include ' . administrators_file(@$_) . "\n" }
    ['functions.conf', $process], ['first.conf', site(%{ $sites[0] })], ['second.conf', site(%{ $sites[1] })];

my ($status, $said) = $class->configtest($files, limits => 1);
is_deeply [$status, $said], [0, 'Syntax OK'], 'the samples, one of them twice: configtest has nothing to say';

my $server = $class->start('second_site', $files, limits => 1);

# The status of a request to a site with a credential.
sub status_of {
    my ($site, $credential) = @_;
    my $url = "https://$site->{name}:$site->{port}/v1/Services";
    return scalar `curl -s -k -o /dev/null -w '%{http_code}' --resolve '$site->{name}:$site->{port}:127.0.0.1' -u '$credential' '$url'`;
}

for my $number (0, 1) {
    my ($own, $other) = @sites[ $number, 1 - $number ];
    is status_of($own, $own->{credential}), 200, "$own->{name} knows its account";
    is status_of($own, $other->{credential}), 401, "$own->{name} does not know the account of $other->{name}";
}
undef $server;

# The messages of configtest with a first and a second site, without times, in alphabetical order.
sub messages {
    my (@texts) = @_;
    my @paths = map { administrators_file("site$_.conf", $texts[$_]) } 0 .. $#texts;
    my (undef, $text) = $class->configtest(join '', map { "Include $_\n" } @paths);
    return [ sort map { s/^\[.*?\] (?:AH\d+: )?//r =~ s/(\S+)\/(site\d\.conf)/$2/gr } split /\n/, $text ];
}

sub virtual_host {
    my ($name, @lines) = @_;
    return join "\n", "<VirtualHost *:80>", "ServerName $name", @lines, $class->api . '</VirtualHost>', '';
}

my $database = $class->database;
my $other = $class->database(database => 'other');

is_deeply messages($database . virtual_host('a'), virtual_host('b')), [
    'SF0100: the API has no DBDParams of its own and uses the database of site0.conf:2: write DBDriver and DBDParams into the '
    . '<VirtualHost> in the virtual host b', 'Syntax OK',
], 'DBD lines outside of the first virtual host, and none for the second';
is_deeply messages($database . virtual_host('a'), $other . virtual_host('b')), [
    (map { 'SF0100: the API has no DBDParams of its own and uses the database of site1.conf:2, not that of site0.conf:2: write '
    . "DBDriver and DBDParams into the <VirtualHost> in the virtual host $_" } qw(a b)), 'Syntax OK',
], 'DBD lines outside of both virtual hosts';
is_deeply messages(virtual_host('a', $database), virtual_host('b', $other)), ['Syntax OK'], 'DBD lines inside of both: no warning';
is_deeply messages($database . virtual_host('a') . virtual_host('b')), ['Syntax OK'],
    'two virtual hosts of one file share a database: no warning';
is_deeply messages($database, virtual_host('a'), virtual_host('b')), ['Syntax OK'],
    'a database in a file of its own, for all virtual hosts: no warning';

done_testing;
