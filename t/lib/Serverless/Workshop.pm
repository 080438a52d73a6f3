# A Service as a team has it: Functions and Assets with Versions, Builds of them, and
# Environments that these are deployed to. Everything goes through the API.
#
#   my $shop = Serverless::Workshop->new($api, 'shop');
#   my $hello = $shop->function('hello');            # with one Version
#   my $logo = $shop->asset('logo.png');             # likewise
#   my $build = $shop->completed($hello, $logo);     # a Build of both, finished
#   my $stage = $shop->environment('stage');
#   $shop->deploy($stage, $build);
#
# A Function or Asset here is what the API answered, and {version} is its newest
# Version.
package Serverless::Workshop;

use strict;
use warnings FATAL => 'all';

use Serverless::Project ();
use Serverless::Test qw(wait_until);

sub new {
    my ($class, $api, $name) = @_;
    my $reply = $api->post('/v1/Services', UniqueName => $name, FriendlyName => $name);
    return bless { api => $api, service => made($reply) }, $class;
}

# The same Service seen by another client, e.g. of another httpd.
sub by {
    my ($self, $api) = @_;
    return bless { %$self, api => $api }, ref $self;
}

sub made {
    my ($reply) = @_;
    die $reply->status, ': ', $reply->body, "\n" if $reply->status != 201;
    return $reply->json;
}

sub api  { $_[0]{api} }
sub sid  { $_[0]{service}{sid} }
sub path { "/v1/Services/$_[0]{service}{sid}" . ($_[1] // '') }

# The path of what the API answered, without the host that it was asked on.
sub path_of {
    my ($self, $resource) = @_;
    return $resource->{url} =~ s{^http://[^/]+}{}r;
}

sub fetch  { my ($self, $resource) = @_; $self->{api}->get($self->path_of($resource)) }
sub delete { my ($self, $resource) = @_; $self->{api}->delete($self->path_of($resource)) }

# Functions, Assets and Versions ---------------------------------------------------------

sub function { my ($self, @with) = @_; return $self->artifact('Functions', @with) }
sub asset    { my ($self, @with) = @_; return $self->artifact('Assets', @with) }

sub artifact {
    my ($self, $list, $name, $content) = @_;
    my $artifact = made($self->{api}->post($self->path("/$list"), FriendlyName => $name));
    $artifact->{version} = made($self->upload($artifact, $content));
    return $artifact;
}

# One more Version of a Function or an Asset; its path is the name of that.
sub upload {
    my ($self, $artifact, $content) = @_;
    $content //= "exports.handler = (context, event, done) => done(null, '$artifact->{friendly_name}');\n";
    return $self->{api}->upload($self->path_of($artifact) . '/Versions',
        [Path => undef, undef, "/$artifact->{friendly_name}"],
        [Visibility => undef, undef, 'public'],
        [Content => "$artifact->{friendly_name}.js", 'application/javascript', $content]);
}

# Builds ---------------------------------------------------------------------------

# Of Functions and Assets (their newest Versions) or of SIDs of Function Versions.
sub try_build {
    my ($self, @parts) = @_;
    return $self->{api}->post($self->path('/Builds'), map {
        ref $_ ? Serverless::Project::parameters($_->{version}) : (FunctionVersions => $_)
    } @parts);
}

sub build { my ($self, @parts) = @_; made($self->try_build(@parts)) }

# The Build once it is not `building` any more.
sub finished {
    my ($self, $build) = @_;
    my $now;
    wait_until { ($now = $self->fetch($build)->json)->{status} ne 'building' } or die "the Build did not finish\n";
    return $now;
}

sub completed {
    my ($self, @parts) = @_;
    my $build = $self->finished($self->build(@parts));
    die "the Build failed: $build->{failure_reason}\n" if $build->{status} ne 'completed';
    return $build;
}

# Environments -----------------------------------------------------------------------

sub environment {
    my ($self, $name) = @_;
    return made($self->{api}->post($self->path('/Environments'), UniqueName => $name, DomainSuffix => $name));
}

# A Build to an Environment, or none.
sub deploy {
    my ($self, $environment, $build) = @_;
    return $self->{api}->post($self->path_of($environment) . '/Deployments',
        $build ? (BuildSid => $build->{sid}) : ());
}

1;
