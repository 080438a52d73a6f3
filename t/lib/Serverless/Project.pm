# A Service and what the suites of single resources need in it, through the API:
#
#   my $project = Serverless::Project->of($api);
#   my $build = $project->completed(map { $project->new_version } 1 .. 3);
#
# What is returned is the JSON of the answer. An answer other than 201 dies.
package Serverless::Project;

use strict;
use warnings FATAL => 'all';

use Serverless::Test qw(wait_until);

my $made = 0;

sub of {
    my ($class, $api) = @_;
    my $name = sprintf 'project-%d-%d', $$, ++$made;
    my $self = bless { api => $api }, $class;
    $self->{service} = $self->create('/v1/Services', UniqueName => $name, FriendlyName => 'Project');
    return $self;
}

sub service { $_[0]{service} }
sub sid     { $_[0]{service}{sid} }

# The address of the Service, without the host.
sub path { "/v1/Services/$_[0]{service}{sid}" }

sub create {
    my ($self, $path, @form) = @_;
    my $reply = $self->{api}->post($path, @form);
    $reply->status == 201 or die "POST $path: " . $reply->body;
    return $reply->json;
}

sub new_function {
    my ($self, $name) = @_;
    return $self->create($self->path . '/Functions', FriendlyName => $name // '/f');
}

# A Version of a Function of its own or, if given, of that one; each with another path.
sub new_version {
    my ($self, %with) = @_;
    my $function = $with{function} || $self->new_function;
    my $reply = $self->{api}->upload("$function->{url}/Versions",
        [ Path => undef, undef, $with{path} // '/path-' . ++$made ],
        [ Visibility => undef, undef, $with{visibility} // 'public' ],
        [ Content => 'f.js', 'application/javascript', $with{content} // 'exports.a = 1;' ]);
    $reply->status == 201 or die 'no Version: ' . $reply->body;
    return $reply->json;
}

sub new_build {
    my ($self, @versions) = @_;
    return $self->create($self->path . '/Builds', map { (FunctionVersions => $_->{sid}) } @versions);
}

sub new_environment {
    my ($self, $name, $suffix) = @_;
    $name //= 'environment-' . ++$made;
    return $self->create($self->path . '/Environments', UniqueName => $name,
        DomainSuffix => $suffix // 'e' . ++$made);
}

# Deploys a Build, or none.
sub deploy {
    my ($self, $environment, $build) = @_;
    return $self->create("$environment->{url}/Deployments", $build ? (BuildSid => $build->{sid}) : ());
}

# The Build once it is no longer building.
sub finished {
    my ($self, $build) = @_;
    wait_until { $self->{api}->get("$build->{url}/Status")->json->{status} ne 'building' }
        or die "$build->{sid} is not finished\n";
    return $self->{api}->get($build->{url})->json;
}

# A completed Build of these Versions.
sub completed {
    my ($self, @versions) = @_;
    my $build = $self->finished($self->new_build(@versions));
    $build->{status} eq 'completed' or die "$build->{sid} failed: $build->{failure_reason}\n";
    return $build;
}

1;
