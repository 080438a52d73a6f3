# Assets: what is true of them and of Functions alike.
use strict;
use warnings FATAL => 'all';

use Apache::Test qw(-withtestmore);
use Serverless::Artifacts;
use Test::More;

prove_artifacts('asset');

done_testing;
