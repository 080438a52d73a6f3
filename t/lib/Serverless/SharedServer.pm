# The httpd that all suites of a test run share, configured by t/conf: its addresses, its
# error log, its files. A suite that needs other directives starts a Serverless::Server.
package Serverless::SharedServer;

use strict;
use warnings FATAL => 'all';

use Apache::Test ();
use Apache::TestConfig ();
use Exporter qw(import);

our @EXPORT = qw(address error_log make_file);

# The "host:port" of a virtual host of t/conf/extra.conf.in.
sub address {
    my ($host) = @_;
    my $vhost = Apache::Test::config()->{vhosts}{$host} or die "no virtual host '$host' in t/conf\n";
    return $vhost->{hostport};
}

my $read_so_far = -s error_log_file() || 0;

# The lines of the error log since the last call, or since the suite began.
sub error_log {
    open my $log, '<', error_log_file() or die "error_log: $!\n";
    seek $log, $read_so_far, 0;
    local $/;
    my $text = <$log> // '';
    $read_so_far = tell $log;
    return $text;
}

sub error_log_file { Apache::Test::config()->{vars}{t_logs} . '/error_log' }

# Writes a file below the DocumentRoot.
sub make_file {
    my ($name, $content) = @_;
    my $path = Apache::Test::config()->{vars}{documentroot} . "/$name";
    open my $file, '>', $path or die "$path: $!\n";
    print $file $content;
    close $file or die "$path: $!\n";
}

1;
