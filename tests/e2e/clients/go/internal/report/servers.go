package report

import "flag"

// Servers has the addresses at which features are tested, and the credentials for them. An empty one is not tested.
type Servers struct {
	URL, User, Password, Anonymous string
	Token, TokenUser               string
	TLS, CA, MTLS, Cert, Key       string
}

// Declare declares the flags of the servers. Their values are known after flag.Parse.
func (s *Servers) Declare() {
	flag.StringVar(&s.URL, "url", "", "where features are tried: grpc+tcp://host:port")
	flag.StringVar(&s.User, "user", "", "the user at -url; none: nobody in particular")
	flag.StringVar(&s.Password, "password", "", "the user's password")
	flag.StringVar(&s.Anonymous, "anonymous", "", "a node that takes anybody")
	flag.StringVar(&s.Token, "token", "", "a JWT that -url takes")
	flag.StringVar(&s.TokenUser, "token-user", "token", "the name to give with the token as a password")
	flag.StringVar(&s.TLS, "tls", "", "a node with TLS, and -user: grpc+tls://host:port")
	flag.StringVar(&s.CA, "ca", "", "the file of the authority that signed the certificates")
	flag.StringVar(&s.MTLS, "mtls", "", "a node that takes the certificate for a log-in")
	flag.StringVar(&s.Cert, "cert", "", "the file of the client's certificate")
	flag.StringVar(&s.Key, "key", "", "the file of its key")
}
