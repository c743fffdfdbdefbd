//! Why a table could not be built.

use std::fmt;

/// A route that cannot be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildError {
    /// Its index in file order.
    pub route: u32,
    /// What is wrong with it.
    pub problem: BuildProblem,
}

/// What is wrong with a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuildProblem {
    /// A path pattern does not begin with `/` (and is not `*`).
    NoLeadingSlash,
    /// A brace that is not the first or last byte of a segment `{name}`, or an empty name.
    Brace,
    /// A star that is not the whole last segment.
    Star,
    /// Two parameters of one name.
    RepeatedParameter,
    /// More than `MAX_PATH_PARAMETERS`.
    TooManyParameters,
    /// More than `MAX_PATTERN_SEGMENTS` in a pattern with parameters or a catch-all.
    TooManySegments,
    /// A path longer than `MAX_PATTERN_LENGTH`.
    PathTooLong,
    /// An empty host, or one longer than `MAX_HOST_LENGTH`.
    HostLength,
    /// A regular expression that does not parse.
    Regex,
    /// A regular expression that compiles to more than `MAX_REGEX_SIZE`.
    RegexTooLarge,
    /// The host has patterns of more than `MAX_SHAPES_PER_HOST` shapes.
    TooManyShapes,
    /// The host has more than `MAX_REGEXES_PER_HOST` regular expressions.
    TooManyRegexes,
    /// The table names more than `MAX_CUSTOM_METHODS` methods beyond the standard ones.
    TooManyMethods,
    /// The table has more than `MAX_ROUTES`, or 4 GiB of text.
    TableTooLarge,
}

impl fmt::Display for BuildProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLeadingSlash => "a path begins with /",
            Self::Brace => "a parameter is a whole segment: /{name}/",
            Self::Star => "a catch-all is the whole last segment: /*",
            Self::RepeatedParameter => "two parameters have the same name",
            Self::TooManyParameters => "too many path parameters",
            Self::TooManySegments => "too many segments in a pattern",
            Self::PathTooLong => "the path is too long",
            Self::HostLength => "the host is empty or too long",
            Self::Regex => "the regular expression is not valid",
            Self::RegexTooLarge => "the regular expression compiles to too much",
            Self::TooManyShapes => "too many differently shaped patterns for one host",
            Self::TooManyRegexes => "too many regular expressions for one host",
            Self::TooManyMethods => "too many different custom methods",
            Self::TableTooLarge => "too many routes",
        })
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "route {}: {}", self.route, self.problem)
    }
}

impl std::error::Error for BuildError {}
