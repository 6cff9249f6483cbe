// A Sigstore of one run: images, signed as `cosign sign` does by whoever is asked for, and the roots that vouch
// for that.
//
//	sigstore REPOSITORY DIRECTORY
//
// Each line of stdin asks in JSON for an image. It is pushed to REPOSITORY, its name with its digest is a line of
// stdout, and its signature is the bundle beside it. DIRECTORY/repository is then a mirror of roots for TUF.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	oci "github.com/sigstore/cosign/v3/pkg/oci/remote"
	"github.com/sigstore/cosign/v3/pkg/types"
	"github.com/sigstore/fulcio/pkg/certificate"
	bundlepb "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	rekorpb "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/sign"
	"github.com/sigstore/sigstore-go/pkg/testing/ca"
	"github.com/sigstore/sigstore-go/pkg/tlog"
	"github.com/theupdateframework/go-tuf"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"
)

// An image that is asked for.
type request struct {
	// Who signs it, as the certificate names him; nobody, if empty.
	Identity string `json:"identity"`
	// Who vouches for the signer.
	Issuer string `json:"issuer"`
	// Whether the certificate is of a CA that is none of the roots.
	Foreign bool `json:"foreign"`
	// Whether the signature is one of another image.
	Another bool `json:"another"`
}

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: sigstore REPOSITORY DIRECTORY")
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		log.Fatal(err)
	}
}

func run(repository, directory string) error {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return err
	}
	ours, err := newAuthority()
	if err != nil {
		return err
	}
	foreign, err := newAuthority()
	if err != nil {
		return err
	}
	journal, err := ca.NewVirtualSigstore()
	if err != nil {
		return err
	}
	requests := json.NewDecoder(os.Stdin)
	for {
		var asked request
		if err := requests.Decode(&asked); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		image, err := push(repo)
		if err != nil {
			return err
		}
		if asked.Identity != "" {
			signed := image.DigestStr()
			if asked.Another {
				signed = "sha256:" + strings.Repeat("0", 64)
			}
			by := ours
			if asked.Foreign {
				by = foreign
			}
			signer := &signer{by, asked.Identity, asked.Issuer}
			if err := attach(image, signed, signer, &transparency{journal}); err != nil {
				return fmt.Errorf("sign as %s: %w", asked.Identity, err)
			}
		}
		fmt.Println(image)
	}
	return publish(ours, journal, directory)
}

// Pushes an image that nobody has.
func push(repo name.Repository) (name.Digest, error) {
	image, err := random.Image(64, 1)
	if err != nil {
		return name.Digest{}, err
	}
	digest, err := image.Digest()
	if err != nil {
		return name.Digest{}, err
	}
	named := repo.Digest(digest.String())
	// By a tag too, which is to be refused however it is signed.
	if err := remote.Write(repo.Tag(digest.Hex[:12]), image); err != nil {
		return name.Digest{}, err
	}
	return named, nil
}

// Signs the digest `signed`, as cosign does, and attaches the bundle to the image.
func attach(image name.Digest, signed string, by *signer, logged *transparency) error {
	digest, err := v1.NewHash(signed)
	if err != nil {
		return err
	}
	statement, err := protojson.Marshal(&intoto.Statement{
		Type:          intoto.StatementTypeUri,
		Subject:       []*intoto.ResourceDescriptor{{Digest: map[string]string{digest.Algorithm: digest.Hex}}},
		PredicateType: types.CosignSignPredicateType,
		Predicate:     &structpb.Struct{},
	})
	if err != nil {
		return err
	}
	keys, err := sign.NewEphemeralKeypair(nil)
	if err != nil {
		return err
	}
	content := &sign.DSSEData{Data: statement, PayloadType: types.IntotoPayloadType}
	bundle, err := sign.Bundle(content, keys, sign.BundleOptions{
		CertificateProvider: by,
		TransparencyLogs:    []sign.Transparency{logged},
	})
	if err != nil {
		return err
	}
	written, err := protojson.Marshal(bundle)
	if err != nil {
		return err
	}
	return oci.WriteAttestationNewBundleFormat(image, written, types.CosignSignPredicateType)
}

// In the place of Fulcio: certificates for whom it is told.
type authority struct {
	root, intermediate *x509.Certificate
	key                *ecdsa.PrivateKey
}

func newAuthority() (*authority, error) {
	root, key, err := ca.GenerateRootCa()
	if err != nil {
		return nil, err
	}
	intermediate, key, err := ca.GenerateFulcioIntermediate(root, key)
	return &authority{root, intermediate, key}, err
}

type signer struct {
	authority        *authority
	identity, issuer string
}

func (s *signer) GetCertificate(_ context.Context, keys sign.Keypair, _ *sign.CertificateProviderOptions) ([]byte, error) {
	identity, err := url.Parse(s.identity)
	if err != nil {
		return nil, err
	}
	extensions, err := certificate.Extensions{Issuer: s.issuer}.Render()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:    big.NewInt(now.UnixNano()),
		URIs:            []*url.URL{identity},
		NotBefore:       now.Add(-time.Minute),
		NotAfter:        now.Add(9 * time.Minute),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning},
		ExtraExtensions: extensions,
	}
	return x509.CreateCertificate(rand.Reader, template, s.authority.intermediate, keys.GetPublicKey(), s.authority.key)
}

// In the place of Rekor: a log of one entry each time.
type transparency struct{ log *ca.VirtualSigstore }

func (t *transparency) GetTransparencyLogEntry(_ context.Context, certificate []byte, bundle *bundlepb.Bundle) error {
	block, _ := pem.Decode(certificate)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	signed := bundle.GetDsseEnvelope()
	signature := signed.Signatures[0].Sig
	envelope := &dsse.Envelope{
		PayloadType: signed.PayloadType,
		Payload:     base64.StdEncoding.EncodeToString(signed.Payload),
		Signatures:  []dsse.Signature{{Sig: base64.StdEncoding.EncodeToString(signature)}},
	}
	entry, err := t.log.GenerateTlogEntry(leaf, envelope, signature, time.Now().Unix(), true)
	if err != nil {
		return err
	}
	// The entry keeps its promise and its kind to itself.
	logged := entry.TransparencyLogEntry()
	promise, err := t.log.RekorSignPayload(tlog.RekorPayload{
		Body:           base64.StdEncoding.EncodeToString(logged.CanonicalizedBody),
		IntegratedTime: logged.IntegratedTime,
		LogIndex:       logged.LogIndex,
		LogID:          hex.EncodeToString(logged.LogId.KeyId),
	})
	if err != nil {
		return err
	}
	logged.InclusionPromise = &rekorpb.InclusionPromise{SignedEntryTimestamp: promise}
	logged.KindVersion = &rekorpb.KindVersion{Kind: "dsse", Version: "0.0.1"}
	material := bundle.VerificationMaterial
	material.TlogEntries = append(material.TlogEntries, logged)
	return nil
}

// Makes a mirror of what Sigstore's own has: who is trusted, by the name that clients ask for.
func publish(by *authority, journal *ca.VirtualSigstore, directory string) error {
	logs := journal.RekorLogs()
	for id, one := range logs {
		raw, err := hex.DecodeString(id)
		if err != nil {
			return err
		}
		one.ID = raw
	}
	fulcio := &root.FulcioCertificateAuthority{
		Root:                by.root,
		Intermediates:       []*x509.Certificate{by.intermediate},
		ValidityPeriodStart: by.root.NotBefore,
		URI:                 "https://fulcio.localhost",
	}
	trusted, err := root.NewTrustedRoot(root.TrustedRootMediaType01, []root.CertificateAuthority{fulcio}, nil, nil, logs)
	if err != nil {
		return err
	}
	written, err := trusted.MarshalJSON()
	if err != nil {
		return err
	}
	const target = "trusted_root.json"
	targets := filepath.Join(directory, "staged/targets")
	if err := os.MkdirAll(targets, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(targets, target), written, 0o644); err != nil {
		return err
	}
	mirror, err := tuf.NewRepo(tuf.FileSystemStore(directory, nil))
	if err != nil {
		return err
	}
	if err := mirror.Init(false); err != nil {
		return err
	}
	for _, role := range []string{"root", "targets", "snapshot", "timestamp"} {
		if _, err := mirror.GenKey(role); err != nil {
			return err
		}
	}
	return errors.Join(mirror.AddTarget(target, nil), mirror.Snapshot(), mirror.Timestamp(), mirror.Commit())
}
