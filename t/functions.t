# Functions: what is true of them and of Assets alike.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Artifacts;
use Test::More;

prove_artifacts('function');

done_testing;
