# Calls of a Function that are under way until the suite ends them, however slow the machine is:
#
#   $project->new_deployable(function => 'held', Serverless::HeldCalls->source);
#   my $calls = Serverless::HeldCalls->begin(30, 30, sub { my ($query) = @_; ask("/held?$query") });
#   ...                          # 30 calls have begun
#   my @answers = $calls->end;
#
# The Function says by a file that a call has begun, and ends when another file is there.
package Serverless::HeldCalls;

use strict;
use warnings FATAL => 'all';

use Serverless::Parallel;
use Serverless::Server ();
use Serverless::Time;

my $count = 0;

# The source of the Function. It answers "held".
sub source {
    return <<'END';
const fs = require('fs');
exports.handler = (context, event, done) => {
    const end = () => fs.existsSync(event.end) ? done(null, 'held') : setTimeout(end, 20);
    fs.writeFileSync(event.begun, '');
    end();
};
END
}

# Has clients send so many calls at the same time, of which `expected` begin; the others wait, or are refused. Returns
# when these have begun. The code sends one: it gets the query of its URL, and its number.
sub begin {
    my ($class, $calls, $expected, $send) = @_;
    my $folder = Serverless::Server->logs . "/held_calls-$$-" . ++$count;
    mkdir $folder or die "$folder: $!\n";
    my $self = bless { folder => $folder }, $class;
    $self->{answers} = begin_at_once(sub { $send->("begun=$folder/$_[0]&end=$folder/end", $_[0]) }, 1 .. $calls);
    return $self if wait_until { $self->begun == $expected };
    my $begun = $self->begun;
    $self->end;
    die "$begun calls have begun, not $expected\n";
}

# How many calls have begun.
sub begun {
    my ($self) = @_;
    return scalar(() = glob "$self->{folder}/[0-9]*");
}

# Ends the calls. Returns what the code has returned for each.
sub end {
    my ($self) = @_;
    my $file = "$self->{folder}/end";
    open my $end, '>', $file or die "$file: $!\n";
    return $self->{answers}->();
}

1;
