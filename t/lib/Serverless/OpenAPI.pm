# docs/openapi.yaml, and whether answers are as it says. Serverless::Client
# has each answer checked that a suite gets; t/openapi.t asks about the description itself.
#
# Of JSON Schema, this knows the keywords that the description uses, and dies of any other
# one. t/openapi.t has it agree with a validator that knows all of it.
package Serverless::OpenAPI;

use strict;
use warnings FATAL => 'all';

use B ();
use Cpanel::JSON::XS ();
use Scalar::Util qw(refaddr);
use Test::More ();
use YAML::XS ();

# The description --------------------------------------------------------------

my $description;
sub description {
    local $YAML::XS::Boolean = 'JSON::PP'; # as JSON has them
    return $description ||= YAML::XS::LoadFile("$ENV{SOURCE}/docs/openapi.yaml");
}

# What stands at a pointer such as '#/components/schemas/Service'.
sub at {
    my ($pointer) = @_;
    my ($empty, @steps) = split m{/}, $pointer;
    my $place = description();
    for my $step (@steps) {
        $step =~ s/~1/\//g;
        $place = $place->{$step} // die "docs/openapi.yaml has no $pointer\n";
    }
    return $place;
}

# The value itself, or the one that its $ref names.
sub followed {
    my ($place) = @_;
    return $place->{'$ref'} ? at($place->{'$ref'}) : $place;
}

# The parameters of a path, by name.
sub path_parameters {
    my ($item) = @_;
    return map { $_->{name} => $_ } map { followed($_) } @{ $item->{parameters} || [] };
}

# Each operation as handlers/routes.c has it: 'GET /Services/{ZS}'.
sub routes {
    my @routes;
    my $paths = description()->{paths};
    for my $path (sort keys %$paths) {
        my %parameter = path_parameters($paths->{$path});
        (my $pattern = $path) =~ s/\{(\w+)\}/'{' . kind($parameter{$1}) . '}'/ge;
        push @routes, map { uc($_) . " $pattern" } grep { $_ ne 'parameters' } sort keys %{ $paths->{$path} };
    }
    return @routes;
}

# The prefix of the SIDs that a parameter takes.
sub kind {
    my ($parameter) = @_;
    my $schema = $parameter->{schema} or die "a path has a parameter that it does not describe\n";
    my ($kind) = ($schema->{anyOf} ? $schema->{anyOf}[0] : $schema)->{pattern} =~ /^\^([A-Z]{2})\[/;
    return $kind;
}

# Answers ----------------------------------------------------------------------

my $suite = $$; # the process of the suite

# Fails the suite at the line of its request if an answer is not as docs/openapi.yaml says.
sub check {
    my ($method, $path, $reply) = @_;
    my @complaints = complaints($method, $path, $reply) or return;
    my $text = join "\n    ", "$method $path is not answered as docs/openapi.yaml says:", @complaints;
    die "$text\n" if $$ != $suite; # a client of Serverless::Parallel
    local $Test::Builder::Level = 1;
    $Test::Builder::Level++ while caller($Test::Builder::Level - 1) =~ /^Serverless::(?:OpenAPI|Client)$/; # the suite's line
    Test::More::fail "$method $path: as docs/openapi.yaml says";
    Test::More::diag $text;
}

# Returns the differences between an answer and the description; none for a path that is not the API's.
sub complaints {
    my ($method, $url, $reply) = @_;
    my $path = api_path($url) // return;
    my ($pointer, $whose) = responses($method, $path);
    my $responses = at($pointer);
    my $response = $responses->{ $reply->status }
        or return 'status ' . $reply->status . ' is none of ' . join(', ', sort keys %$responses) . ", $whose";
    $response = followed($response);
    return (header_complaints($response, $reply), body_complaints($response, $reply, $method));
}

# Returns a pointer to the response that the description has for an answer; none for a path that is not the API's
# and for a status that is not described.
sub response_pointer {
    my ($method, $url, $reply) = @_;
    my $path = api_path($url) // return;
    my ($pointer) = responses($method, $path);
    return exists at($pointer)->{ $reply->status } ? "$pointer/" . $reply->status : undef;
}

# The path of a URL below /v1, without its query; undef for one that is not the API's.
sub api_path {
    my ($url) = @_;
    my ($path) = $url =~ m{/v1(/+Services(?![^/?])[^?]*)} or return;
    return $path =~ s{//+}{/}gr;
}

# A pointer to what may be answered, by status, and a name for it in messages.
sub responses {
    my ($method, $path) = @_;
    my ($template, $item) = item_of($path);
    return ('#/x-unlisted/options', 'x-unlisted, options') if $method eq 'OPTIONS';
    return ('#/x-unlisted/paths', 'x-unlisted, paths') if !$item;
    my $name = $method eq 'HEAD' ? 'get' : lc $method;
    my $operation = $item->{$name} or return ('#/x-unlisted/methods', 'x-unlisted, methods');
    my $pointer = '#/paths/' . $template =~ s{/}{~1}gr . "/$name/responses";
    return ($pointer, "$template, $operation->{operationId}");
}

# The path of the description that this one is.
my @items;
sub item_of {
    my ($path) = @_;
    if (!@items) {
        my $paths = description()->{paths};
        for my $template (sort keys %$paths) {
            my $expression = join '[^/]+', map { quotemeta } split /\{\w+\}/, $template, -1;
            push @items, [ qr/\A$expression\z/, $template, $paths->{$template} ];
        }
    }
    return if $path =~ /%(?![0-9A-Fa-f]{2})/; # httpd refuses it
    for my $item (@items) {
        return @$item[1, 2] if $path =~ $item->[0];
    }
    return;
}

sub header_complaints {
    my ($response, $reply) = @_;
    my @complaints;
    for my $name (sort keys %{ $response->{headers} || {} }) {
        my $header = followed($response->{headers}{$name});
        my $value = $reply->header($name);
        if (defined $value) {
            my $number = $header->{schema}{type} eq 'integer' && $value =~ /^\d+\z/;
            push @complaints, violations($header->{schema}, $number ? 0 + $value : $value, $name);
        }
        elsif ($header->{required}) {
            push @complaints, "$name: is missing";
        }
    }
    return @complaints;
}

sub body_complaints {
    my ($response, $reply, $method) = @_;
    my $content = $response->{content};
    if (!$content || $method eq 'HEAD') {
        return $reply->body eq '' ? () : 'body: there is none to be';
    }
    my ($type) = ($reply->header('Content-Type') // '') =~ /^([^;]*)/;
    my $media = $content->{$type} || $content->{'*/*'}
        or return "Content-Type: '$type' is none of " . join ', ', sort keys %$content;
    return if !$media->{schema};
    return 'body: is no JSON' if !defined $reply->json;
    return violations($media->{schema}, $reply->json, 'body');
}

# JSON Schema ------------------------------------------------------------------

# What is wrong with a value, each with the place where.
sub violations {
    my ($schema, $value, $where) = @_;
    return check_of($schema)->($value, $where);
}

# Each keyword makes a function of a value and its place. Annotations make none.
my %keyword = (
    '$ref' => sub {
        my ($pointer) = @_;
        my $check;
        return sub { ($check ||= check_of(at($pointer)))->(@_) };
    },
    type => sub {
        my ($type) = @_;
        my @types = ref $type ? @$type : $type;
        my $what = join ' or ', @types;
        return sub {
            my ($value, $where) = @_;
            my $is = type_of($value);
            return if grep { $is eq $_ || ($is eq 'integer' && $_ eq 'number') } @types;
            return "$where: is $is, not $what";
        };
    },
    enum => sub {
        my ($values) = @_;
        return sub {
            my ($value, $where) = @_;
            return if grep { same($value, $_) } @$values;
            return "$where: " . shown($value) . ' is none of ' . join ', ', @$values;
        };
    },
    const => sub {
        my ($constant) = @_;
        return sub {
            my ($value, $where) = @_;
            return same($value, $constant) ? () : "$where: " . shown($value) . " is not $constant";
        };
    },

    pattern => sub {
        my ($pattern) = @_;
        (my $ours = $pattern) =~ s/(?<!\\)\$(?=\z|[)|])/\\z/g; # Perl's $ is before a last newline, too
        my $expression = qr/$ours/;
        return on('string', sub { $_[0] =~ $expression ? () : "does not match $pattern" });
    },
    minLength => sub {
        my ($least) = @_;
        return on('string', sub { length $_[0] >= $least ? () : "is shorter than $least" });
    },
    maxLength => sub {
        my ($most) = @_;
        return on('string', sub { length $_[0] <= $most ? () : "is longer than $most" });
    },
    minimum => sub {
        my ($least) = @_;
        return on('number', sub { $_[0] >= $least ? () : "is less than $least" });
    },
    maximum => sub {
        my ($most) = @_;
        return on('number', sub { $_[0] <= $most ? () : "is more than $most" });
    },

    items => sub {
        my ($schema) = @_;
        my $check = check_of($schema);
        return sub {
            my ($value, $where) = @_;
            return if ref $value ne 'ARRAY';
            return map { $check->($value->[$_], "$where\[$_]") } 0 .. $#$value;
        };
    },
    maxItems => sub {
        my ($most) = @_;
        return on('array', sub { @{ $_[0] } <= $most ? () : "has more than $most" });
    },

    properties => sub {
        my ($properties) = @_;
        my @checks = map { [ $_, check_of($properties->{$_}) ] } sort keys %$properties;
        return sub {
            my ($value, $where) = @_;
            return if ref $value ne 'HASH';
            return map { $_->[1]->($value->{ $_->[0] }, "$where.$_->[0]") }
                grep { exists $value->{ $_->[0] } } @checks;
        };
    },
    required => sub {
        my ($names) = @_;
        return sub {
            my ($value, $where) = @_;
            return if ref $value ne 'HASH';
            return map { "$where.$_: is missing" } grep { !exists $value->{$_} } @$names;
        };
    },
    additionalProperties => sub {
        my ($allowed, $schema) = @_;
        die "additionalProperties other than false\n" if ref $allowed eq 'HASH' || $allowed;
        return sub {
            my ($value, $where) = @_;
            return if ref $value ne 'HASH';
            return map { "$where.$_: is not described" }
                grep { !exists $schema->{properties}{$_} } sort keys %$value;
        };
    },

    allOf => sub {
        my ($schemas) = @_;
        my @checks = map { check_of($_) } @$schemas;
        return sub { my @arguments = @_; map { $_->(@arguments) } @checks };
    },
    anyOf => sub {
        my ($schemas) = @_;
        my @checks = map { check_of($_) } @$schemas;
        return sub {
            my @wrong;
            for my $check (@checks) {
                my @complaints = $check->(@_) or return;
                push @wrong, @complaints;
            }
            return join '; or ', @wrong;
        };
    },
    not => sub {
        my ($schema) = @_;
        my $check = check_of($schema);
        return sub { $check->(@_) ? () : "$_[1]: " . shown($_[0]) . ' is what it must not be' };
    },

    map { $_ => undef } qw(description default example examples format contentMediaType),
);

# The function of a schema, made once.
my %made;
sub check_of {
    my ($schema) = @_;
    my $made = $made{ refaddr $schema } ||= [ make_check($schema), $schema ]; # which keeps its address
    return $made->[0];
}

sub make_check {
    my ($schema) = @_;
    my @checks;
    for my $name (sort keys %$schema) {
        exists $keyword{$name} or die "Serverless::OpenAPI does not know the keyword '$name'\n";
        push @checks, $keyword{$name}->($schema->{$name}, $schema) if $keyword{$name};
    }
    return sub { my @arguments = @_; map { $_->(@arguments) } @checks };
}

# A check of values of one type: any other is right.
sub on {
    my ($type, $check) = @_;
    return sub {
        my ($value, $where) = @_;
        my $is = type_of($value);
        return if $is ne $type && !($type eq 'number' && $is eq 'integer');
        return map { "$where: " . shown($value) . " $_" } $check->($value);
    };
}

sub type_of {
    my ($value) = @_;
    return 'null' if !defined $value;
    return { HASH => 'object', ARRAY => 'array' }->{ ref $value } // 'boolean' if ref $value;
    # strings that look like numbers are left alone by JSON, and by YAML if quoted
    return 'string' if !(B::svref_2object(\$value)->FLAGS & (B::SVp_IOK | B::SVp_NOK));
    return $value == int $value ? 'integer' : 'number';
}

# Of strings, numbers and the like.
sub same {
    my ($value, $other) = @_;
    my ($type, $its) = map { type_of($_) } $value, $other;
    return $type eq $its && (!defined $value || $value eq $other);
}

my $json = Cpanel::JSON::XS->new->allow_nonref->canonical;
sub shown {
    my $text = $json->encode($_[0]);
    return length $text > 60 ? substr($text, 0, 57) . '...' : $text;
}

1;
