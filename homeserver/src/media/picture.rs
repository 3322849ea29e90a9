//! Making pictures smaller. Nothing is decoded before its size in pixels is known to be bearable.

use std::io::Cursor;

use image::{
    DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits,
    codecs::{jpeg::JpegEncoder, png::PngEncoder},
    imageops::FilterType,
};

/// The most pixels of a picture that is made smaller.
pub const MAX_PIXELS: u64 = 32_000_000;

/// The most memory that decoding one picture may take, in bytes.
const MAX_ALLOC: u64 = 160 * 1024 * 1024;

/// How a picture is fitted into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The whole picture, covering the frame.
    Scale,
    /// The middle of the picture, in the shape of the frame.
    Crop,
}

impl Method {
    /// The specification's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scale => "scale",
            Self::Crop => "crop",
        }
    }
}

/// A size that thumbnails are made in: there are few of each shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// In pixels.
    pub width: u32,
    /// In pixels.
    pub height: u32,
    /// How the picture is fitted.
    pub method: Method,
}

const fn frame(width: u32, height: u32, method: Method) -> Frame {
    Frame { width, height, method }
}

/// The sizes of scaled pictures that the specification names ([spec]).
///
/// [spec]: https://spec.matrix.org/v1.19/client-server-api/#thumbnails
const SCALED: [Frame; 3] =
    [frame(320, 240, Method::Scale), frame(640, 480, Method::Scale), frame(800, 600, Method::Scale)];

/// The longer sides of cropped pictures: the two that the specification names, and some for those who want more.
const CROPPED: [u32; 5] = [32, 96, 320, 640, 800];

impl Frame {
    /// The smallest frame that is no smaller than what is asked for, and of its shape where the picture is to be cropped; `None`
    /// for what is larger than all: then there is the picture itself.
    #[must_use]
    pub fn for_request(width: u32, height: u32, method: Method) -> Option<Self> {
        match method {
            Method::Scale => SCALED.into_iter().find(|frame| frame.width >= width && frame.height >= height),
            Method::Crop => {
                let longer = width.max(height).max(1);
                let side = CROPPED.into_iter().find(|side| *side >= longer)?;
                // No more than `side`, which is no less than `longer`.
                let stretched = |asked: u32| (asked.max(1) * side).div_ceil(longer);
                Some(frame(stretched(width), stretched(height), method))
            }
        }
    }
}

/// A smaller picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Thumbnail {
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// What they are.
    pub(super) content_type: &'static str,
}

/// Why there is no thumbnail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// Not a picture of a known kind, or a broken one.
    #[error("the file is no picture that can be made smaller")]
    NotAPicture,
    /// More than [`MAX_PIXELS`].
    #[error("the picture is larger than {MAX_PIXELS} pixels")]
    TooLarge,
}

/// What kind of picture it is, and its width and height in pixels; `None` for what is none. Nothing is decoded.
pub(super) fn measure(bytes: &[u8]) -> Option<(&'static str, (u32, u32))> {
    let format = image::guess_format(bytes).ok()?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP) {
        return None;
    }
    let size = ImageReader::with_format(Cursor::new(bytes), format).into_dimensions().ok()?;
    Some((format.to_mime_type(), size))
}

/// Makes a picture smaller; `None` where it cannot be and still cover the frame: none is made larger. Animated pictures stand still.
///
/// # Errors
/// [`PictureError`]. Whatever the bytes say, no more than a bounded amount of memory is taken.
pub(super) fn shrink(bytes: &[u8], frame: Frame) -> Result<Option<Thumbnail>, PictureError> {
    let format = image::guess_format(bytes).map_err(|_| PictureError::NotAPicture)?;
    if !matches!(format, ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP) {
        return Err(PictureError::NotAPicture);
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|_| PictureError::NotAPicture)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(PictureError::TooLarge);
    }
    let orientation = decoder.orientation().ok();
    let mut picture = DynamicImage::from_decoder(decoder).map_err(|_| PictureError::NotAPicture)?;
    if let Some(orientation) = orientation {
        picture.apply_orientation(orientation);
    }
    let Some((width, height)) = fitted((picture.width(), picture.height()), frame) else { return Ok(None) };
    let small = match frame.method {
        Method::Scale => picture.resize_exact(width, height, FilterType::Triangle),
        Method::Crop => picture.resize_to_fill(width, height, FilterType::Triangle),
    };
    encode(&small, format).map(Some)
}

/// How wide and high a picture is made; `None` where it stays as it is.
fn fitted((width, height): (u32, u32), frame: Frame) -> Option<(u32, u32)> {
    let part = |whole: u32, of: u32, by: u32| {
        let part = (u64::from(whole) * u64::from(of)).div_ceil(u64::from(by.max(1)));
        u32::try_from(part).unwrap_or(u32::MAX)
    };
    // Which side of the picture meets the frame first when it is made smaller.
    let wide = u64::from(width) * u64::from(frame.height) >= u64::from(height) * u64::from(frame.width);
    let covers = width >= frame.width && height >= frame.height;
    let fitted = match (frame.method, covers) {
        (Method::Scale, true) if wide => (part(width, frame.height, height), frame.height),
        (Method::Scale, true) => (frame.width, part(height, frame.width, width)),
        (Method::Crop, true) => (frame.width, frame.height),
        (Method::Crop, false) if width > frame.width || height > frame.height => {
            // It has the shape that was asked for, as large as the picture allows.
            if wide {
                (part(frame.width, height, frame.height), height)
            } else {
                (width, part(frame.height, width, frame.width))
            }
        }
        (Method::Scale | Method::Crop, false) => return None,
    };
    (fitted != (width, height)).then_some(fitted)
}

fn encode(picture: &DynamicImage, from: ImageFormat) -> Result<Thumbnail, PictureError> {
    let mut bytes = Vec::new();
    // Photographs stay small as JPEG; anything else may be transparent or drawn with sharp lines.
    let done = if from == ImageFormat::Jpeg {
        picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 80)).map(|()| "image/jpeg")
    } else if picture.color().has_alpha() {
        picture.to_rgba8().write_with_encoder(PngEncoder::new(&mut bytes)).map(|()| "image/png")
    } else {
        picture.to_rgb8().write_with_encoder(PngEncoder::new(&mut bytes)).map(|()| "image/png")
    };
    let content_type = done.map_err(|_| PictureError::NotAPicture)?;
    Ok(Thumbnail { bytes, content_type })
}

#[cfg(test)]
mod tests {
    use image::RgbImage;

    use super::*;

    fn picture(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let picture = DynamicImage::from(RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([u8::try_from(x % 256).unwrap(), u8::try_from(y % 256).unwrap(), 7])
        }));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn size(thumbnail: &Thumbnail) -> (u32, u32) {
        let picture = image::load_from_memory(&thumbnail.bytes).unwrap();
        (picture.width(), picture.height())
    }

    #[test]
    fn every_kind_is_made_smaller() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            let bytes = picture(400, 200, format);
            let scaled = shrink(&bytes, frame(160, 90, Method::Scale)).unwrap().unwrap();
            assert_eq!(size(&scaled), (180, 90), "{format:?}");
            let cropped = shrink(&bytes, frame(96, 96, Method::Crop)).unwrap().unwrap();
            assert_eq!(size(&cropped), (96, 96), "{format:?}");
            assert_eq!(shrink(&bytes, frame(800, 600, Method::Scale)), Ok(None));
        }
    }

    #[test]
    fn what_is_no_picture_or_broken_is_refused() {
        let frame = frame(96, 96, Method::Crop);
        let whole = picture(400, 200, ImageFormat::Png);
        for bytes in [&b""[..], b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n", &whole[..whole.len() / 2]] {
            assert_eq!(shrink(bytes, frame), Err(PictureError::NotAPicture));
        }
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        // A PNG that says it is 60,000 pixels wide and high: fourteen gigabytes.
        let mut bomb = picture(1, 1, ImageFormat::Png);
        bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        let crc = crc(&bomb[12..29]);
        bomb[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(shrink(&bomb, frame(96, 96, Method::Crop)), Err(PictureError::TooLarge));
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
        })
    }

    #[test]
    fn none_is_smaller_than_asked_for_or_larger_than_it_was() {
        let fits = |size, width, height, method| fitted(size, frame(width, height, method));
        assert_eq!(fits((900, 700), 800, 600, Method::Scale), Some((800, 623)));
        assert_eq!(fits((700, 900), 320, 240, Method::Scale), Some((320, 412)));
        assert_eq!(fits((4000, 600), 320, 240, Method::Scale), Some((1600, 240)));
        assert_eq!(fits((400, 200), 320, 240, Method::Scale), None, "it would have to grow");
        assert_eq!(fits((900, 700), 640, 640, Method::Crop), Some((640, 640)));
        assert_eq!(fits((900, 600), 640, 640, Method::Crop), Some((600, 600)));
        assert_eq!(fits((600, 900), 640, 320, Method::Crop), Some((600, 300)));
        assert_eq!(fits((90, 80), 96, 96, Method::Crop), None);
        assert_eq!(fits((96, 96), 96, 96, Method::Crop), None);
    }

    #[test]
    fn requests_share_few_frames() {
        let frame = |width, height, method| Some(frame(width, height, method));
        assert_eq!(Frame::for_request(1, 1, Method::Crop), frame(32, 32, Method::Crop));
        assert_eq!(Frame::for_request(64, 64, Method::Crop), frame(96, 96, Method::Crop));
        assert_eq!(Frame::for_request(500, 500, Method::Crop), frame(640, 640, Method::Crop));
        assert_eq!(Frame::for_request(300, 200, Method::Crop), frame(320, 214, Method::Crop));
        assert_eq!(Frame::for_request(1, u32::MAX, Method::Crop), None);
        assert_eq!(Frame::for_request(64, 64, Method::Scale), frame(320, 240, Method::Scale));
        assert_eq!(Frame::for_request(850, 650, Method::Scale), None);
    }
}
