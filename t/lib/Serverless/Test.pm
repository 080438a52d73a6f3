# What nearly every suite needs, in one line: a client, assertions, the clock, the shared
# httpd and the connection to the database. The modules say what each name does.
#
#   use Serverless::Test;
#
#   my $api = Serverless::Client->account;
#   my $service = $api->post('/v1/Services', UniqueName => 'a', FriendlyName => 'A');
#   is_reply $service, 201, { sid => sid('ZS'), ... }, 'create a Service';
package Serverless::Test;

use strict;
use warnings FATAL => 'all';

use Exporter qw(import);
use Serverless::Assertions;
use Serverless::Client ();
use Serverless::Database qw(db superuser connect_as database);
use Serverless::SharedServer;
use Serverless::Time;

our @EXPORT = (@Serverless::Assertions::EXPORT, @Serverless::SharedServer::EXPORT, @Serverless::Time::EXPORT,
    qw(db superuser connect_as database));

1;
